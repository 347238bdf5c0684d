//! How fast the products are on one core: `cargo run --release -p madang-kernels --example products`. Prints, for each
//! format and number of tokens, billions of multiply-adds and gigabytes of weights per second of processor time, which
//! other programs disturb less than they do the clock's.

use madang_kernels::{Activations, Format, Matrix, Pool, Product, multiply};

/// Seconds that this thread has computed (Linux).
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

#[allow(clippy::print_stdout)]
fn main() {
    let pool = Pool::new(1);
    println!("| format | tokens | GMAC/s | GB/s |\n|---|---|---|---|");
    for format in [Format::Q4_K, Format::Q5_K, Format::Q6_K, Format::Q8_0, Format::Q4_0, Format::F16] {
        let (rows, cols) = (3072, 1024);
        let bytes = vec![0x11; format.row_bytes(cols).unwrap_or(0) * rows];
        let matrices: Vec<Matrix> =
            (0..40).filter_map(|_| Matrix::pack(format, rows, cols, &bytes, &pool).ok()).collect();
        for tokens in [1, 2, 4, 8, 128] {
            let x = vec![0.5; tokens * cols];
            let mut out = vec![0.0; tokens * rows];
            // The clock of processor time moves in steps of some milliseconds.
            let (start, mut rounds) = (processor_time(), 0);
            while processor_time() - start < 0.3 {
                for m in &matrices {
                    multiply(&pool, &Activations::new(&x, cols), &mut [Product { matrix: m, out: &mut out }]);
                }
                rounds += 1;
            }
            let took = (processor_time() - start) / f64::from(rounds);
            let macs = (matrices.len() * rows * cols * tokens) as f64;
            let read: usize = matrices.iter().map(Matrix::bytes).sum();
            println!("| {format:?} | {tokens} | {:.0} | {:.1} |", macs / took / 1e9, read as f64 / took / 1e9);
        }
    }
}

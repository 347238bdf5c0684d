//! The binary `madang-cuda`: `madang`, built so that local models can compute on a graphics processor. It starts only where
//! CUDA's libraries are.

fn main() -> std::process::ExitCode {
    madang_server::cli::main()
}

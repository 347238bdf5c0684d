//! The binary `madang`: hands the command line to `madang_server::cli`.

fn main() -> std::process::ExitCode {
    madang_server::cli::main()
}

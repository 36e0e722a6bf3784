//! The program `brooklet`; see the library beside it.

fn main() {
    brooklet_cli::main();
}

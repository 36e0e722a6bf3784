//! `completions`: a script from which a shell learns the verbs and options.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::output::Output;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(brooklet completions bash)
  brooklet completions zsh > ~/.zfunc/_brooklet")]
pub(crate) struct Args {
    /// The shell to complete in
    shell: Shell,
}

/// Prints the script that completes `cli`.
pub(crate) fn run(args: Args, mut cli: clap::Command) -> anyhow::Result<Exit> {
    let mut output = Output::stdout(true);
    clap_complete::generate(args.shell, &mut cli, "brooklet", output.buffer());
    output.flush()?;
    Ok(Exit::Ok)
}

//! A child of the demo before it becomes the coordinator or the agent: it ends with the demo even when the demo is killed,
//! and (coordinator) sees its own folder and the system's, not the folder of the trust ceremony nor anybody's home.
//! Where the kernel has no Landlock the passphrase on every key file is what protects them; the demo says which it is.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::args::DemoChildArgs;
use crate::failure::{Exit, Failure, Outcome};

/// Folders of the system a program needs to start: libraries, time zones, names, random numbers, its own facts.
#[cfg(target_os = "linux")]
const SYSTEM: [&str; 10] = [
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc",
    "/dev",
    "/proc",
    "/sys",
    "/nix/store",
];

pub fn run(args: DemoChildArgs) -> Outcome {
    die_with_parent(args.parent)?;
    let mut words = args.program.into_iter();
    let Some(program) = words.next() else {
        return Err(Failure::usage(
            "falta el programa",
            "the program is missing",
        ));
    };
    #[cfg(target_os = "linux")]
    if let Some(only) = &args.only {
        confine(only, std::path::Path::new(&program))?;
    }
    // Only returns when it failed.
    let error = Command::new(&program).args(words).exec();
    Err(Failure::file(std::path::Path::new(&program), &error))
}

/// True if this kernel can narrow a program's view of the files.
pub fn is_possible() -> bool {
    #[cfg(target_os = "linux")]
    {
        use landlock::{
            ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
        };
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .and_then(landlock::Ruleset::create)
            .is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        false
    }
}

#[cfg(target_os = "linux")]
fn die_with_parent(parent: u32) -> Outcome {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::from(std::io::Error::from(error)))?;
    // The demo may have gone before the line above.
    let now = getppid().map_or(0, |pid| pid.as_raw_pid().unsigned_abs());
    if now == parent {
        Ok(())
    } else {
        Err(Failure::new(
            Exit::Failed,
            "DEMO_GONE",
            "la demostración ya terminó",
            "the demo has ended",
        ))
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_parent: u32) -> Outcome {
    Ok(())
}

#[cfg(target_os = "linux")]
fn confine(only: &std::path::Path, program: &std::path::Path) -> Outcome {
    use landlock::{
        ABI, Access as _, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, path_beneath_rules,
    };
    let failed = |error: landlock::RulesetError| {
        Failure::new(
            Exit::Failed,
            "LANDLOCK",
            format!("no se pudo limitar la vista del coordinador: {error}"),
            format!("the coordinator's view could not be narrowed: {error}"),
        )
    };
    let abi = ABI::V3;
    let all = AccessFs::from_all(abi);
    let read = AccessFs::from_read(abi);
    let own =
        PathFd::new(only).map_err(|_| Failure::file(only, &std::io::ErrorKind::NotFound.into()))?;
    let binary = PathFd::new(program)
        .map_err(|_| Failure::file(program, &std::io::ErrorKind::NotFound.into()))?;
    Ruleset::default()
        .handle_access(all)
        .and_then(Ruleset::create)
        .and_then(|rules| rules.add_rules(path_beneath_rules(SYSTEM, read)))
        .and_then(|rules| {
            // Programs write to /dev/null and read random numbers.
            rules.add_rules(path_beneath_rules(
                ["/dev/null", "/dev/tty"],
                AccessFs::from_file(abi),
            ))
        })
        .and_then(|rules| {
            rules.add_rule(PathBeneath::new(
                binary,
                AccessFs::Execute | AccessFs::ReadFile,
            ))
        })
        .and_then(|rules| rules.add_rule(PathBeneath::new(own, all)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(failed)?;
    Ok(())
}

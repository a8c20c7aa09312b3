//! Which programs a step may name. An interpreter would turn an argument into code, and with it the definition's digest
//! into a promise about nothing; so would a launcher that runs another program.

use super::Arg;

/// Programs that run what their arguments or input say.
const INTERPRETERS: &[&str] = &[
    // Shells.
    "sh",
    "ash",
    "bash",
    "rbash",
    "dash",
    "zsh",
    "ksh",
    "mksh",
    "pdksh",
    "yash",
    "csh",
    "tcsh",
    "fish",
    "elvish",
    "nu",
    "xonsh",
    "busybox",
    "toybox",
    "powershell",
    "powershell_ise",
    "pwsh",
    "cmd",
    "command",
    // Languages.
    "python",
    "pythonw",
    "pypy",
    "py",
    "perl",
    "ruby",
    "irb",
    "node",
    "nodejs",
    "deno",
    "bun",
    "php",
    "lua",
    "luajit",
    "tclsh",
    "wish",
    "expect",
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "guile",
    "java",
    "javaw",
    "dotnet",
    "groovy",
    "scala",
    "julia",
    "rscript",
    "osascript",
    "gdb",
    "ed",
    "sed",
    "vi",
    "vim",
    "nvim",
    "emacs",
    "m4",
    "make",
    "gmake",
    "bc",
    // Launchers of other programs.
    "env",
    "xargs",
    "parallel",
    "find",
    "ssh",
    "sshd",
    "sudo",
    "su",
    "doas",
    "pkexec",
    "runuser",
    "setpriv",
    "chroot",
    "unshare",
    "nsenter",
    "systemd-run",
    "setsid",
    "nohup",
    "nice",
    "ionice",
    "timeout",
    "stdbuf",
    "strace",
    "ltrace",
    "script",
    "watch",
    "at",
    "batch",
    "crontab",
    "flock",
    "taskset",
    "chrt",
    "start-stop-daemon",
    "ld.so",
    "ld-linux",
    "ld-linux-x86-64.so",
    "ld-musl-x86_64.so",
    "tar",
    "rsync",
    "git",
    "docker",
    "podman",
    "nc",
    "ncat",
    "socat",
    "openssl",
    "curl",
    "wget",
    // The same on Windows.
    "wscript",
    "cscript",
    "mshta",
    "rundll32",
    "regsvr32",
    "msbuild",
    "installutil",
    "regasm",
    "regsvcs",
    "wmic",
    "forfiles",
    "schtasks",
    "psexec",
    "psexec64",
    "runas",
    "start",
    "bash.exe",
    "wsl",
    "bitsadmin",
    "certutil",
    "hh",
    "pcalua",
    "conhost",
    "explorer",
    "control",
    "cmstp",
    "odbcconf",
    "ftp",
    "scriptrunner",
    "at",
];

/// Endings of files that an interpreter reads.
const SCRIPT_ENDINGS: &[&str] = &[
    ".sh", ".bash", ".bat", ".cmd", ".ps1", ".psm1", ".py", ".pyw", ".pl", ".rb", ".js", ".jse",
    ".vbs", ".vbe", ".wsf", ".wsh", ".hta", ".lua", ".php", ".awk", ".tcl", ".jar", ".lnk", ".scr",
    ".pif", ".msc", ".cpl", ".reg", ".inf",
];

/// Options of PowerShell that may stand before the script.
const POWERSHELL_OPTIONS: &[&str] = &["-NoProfile", "-NonInteractive", "-NoLogo", "-File"];

/// True if the program at this path runs code from its arguments or input. The agent asks again for the path behind
/// links, which only it can see.
pub fn is_interpreter(path: &str) -> bool {
    let Some(name) = path.rsplit(['/', '\\']).next() else {
        return true;
    };
    let name = name.to_lowercase();
    if SCRIPT_ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return true;
    }
    let name = name
        .strip_suffix(".exe")
        .or_else(|| name.strip_suffix(".com"))
        .unwrap_or(&name);
    // python3.11, lua5.4, ruby-3.2, ld-linux-x86-64.so.2
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    INTERPRETERS
        .iter()
        .any(|known| *known == name || *known == bare)
}

pub(super) fn check(path: &str, args: &[Arg], pinned: bool) -> Result<(), &'static str> {
    if !is_plain_absolute(path) {
        return Err("must name its program by an absolute path without . or .. in it");
    }
    let scripts = args.iter().filter(|a| **a == Arg::Script).count();
    match (is_interpreter(path), pinned) {
        (true, false) => {
            Err("names an interpreter or launcher; only a script pinned by digest may run in one")
        }
        (false, false) if scripts > 0 => Err("uses a script but pins none"),
        (_, true) if scripts != 1 => Err("pins a script but does not use it exactly once"),
        (true, true) if !script_comes_first(path, args) => {
            Err("gives its interpreter options before the script")
        }
        _ => Ok(()),
    }
}

/// Options before the script could carry code of their own (`-c`, `-e`, `-Command`).
fn script_comes_first(path: &str, args: &[Arg]) -> bool {
    let lower = path.to_lowercase();
    let powershell = lower.contains("powershell") || lower.contains("pwsh");
    args.iter()
        .take_while(|a| **a != Arg::Script)
        .all(|a| match a {
            Arg::Literal(text) => {
                powershell
                    && POWERSHELL_OPTIONS
                        .iter()
                        .any(|option| option.eq_ignore_ascii_case(text))
            }
            Arg::Parameter(_) | Arg::Script => false,
        })
}

/// True for an absolute path without `.`, `..` or empty parts.
pub(super) fn is_plain_absolute(path: &str) -> bool {
    if path.is_empty() || path.len() > 1024 || path.chars().any(crate::text::is_deceptive) {
        return false;
    }
    let parts_ok = |rest: &str, separator: char| {
        !rest.is_empty()
            && rest
                .split(separator)
                .all(|part| !part.is_empty() && part != "." && part != "..")
    };
    if let Some(rest) = path.strip_prefix('/') {
        return parts_ok(rest, '/') && !path.contains('\\');
    }
    let mut chars = path.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    // A further colon would name an alternate data stream; trailing dots and spaces vanish on Windows.
    drive
        && chars.as_str().strip_prefix(":\\").is_some_and(|rest| {
            parts_ok(rest, '\\')
                && !rest.contains(['/', ':'])
                && rest.split('\\').all(|part| !part.ends_with(['.', ' ']))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_under_their_many_names() {
        for path in [
            "/bin/sh",
            "/usr/bin/python3.11",
            "/usr/bin/python3",
            "/usr/local/bin/lua5.4",
            "/usr/bin/env",
            "/usr/bin/sudo",
            "/bin/busybox",
            "C:\\Windows\\System32\\cmd.exe",
            "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\PowerShell.EXE",
            "/usr/bin/ssh",
            "/opt/tool/run.sh",
            "C:\\tools\\a.BAT",
            "/lib64/ld-linux-x86-64.so.2",
        ] {
            assert!(is_interpreter(path), "{path}");
        }
        for path in [
            "/usr/bin/resolvectl",
            "/usr/bin/systemctl",
            "/usr/sbin/lpadmin",
            "C:\\Windows\\System32\\ipconfig.exe",
            "/usr/bin/shred",
        ] {
            assert!(!is_interpreter(path), "{path}");
        }
    }

    #[test]
    fn an_interpreter_runs_a_pinned_script_and_nothing_else() {
        let sh = "/bin/sh";
        let literal = |t: &str| Arg::Literal(t.into());
        assert!(check(sh, &[literal("-c"), literal("id")], false).is_err());
        assert!(check(sh, &[Arg::Script], false).is_err());
        assert!(check(sh, &[Arg::Script], true).is_ok());
        assert!(check(sh, &[Arg::Script, Arg::Parameter("n".into())], true).is_ok());
        assert!(check(sh, &[literal("-c"), Arg::Script], true).is_err());
        assert!(check(sh, &[Arg::Parameter("n".into()), Arg::Script], true).is_err());
        assert!(check(sh, &[literal("id")], true).is_err());
        let ps = "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe";
        assert!(
            check(
                ps,
                &[literal("-NoProfile"), literal("-File"), Arg::Script],
                true
            )
            .is_ok()
        );
        assert!(check(ps, &[literal("-Command"), Arg::Script], true).is_err());
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        for path in [
            "resolvectl",
            "./a",
            "/usr/../bin/x",
            "/usr//bin/x",
            "\\\\host\\share\\x.exe",
            "C:x.exe",
            "C:\\a\\..\\x.exe",
            "C:\\a:b.exe",
            "C:\\cmd.exe.",
            "/",
            "",
        ] {
            assert!(check(path, &[], false).is_err(), "{path}");
        }
        assert!(check("/usr/bin/resolvectl", &[], false).is_ok());
        assert!(check("C:\\Windows\\System32\\ipconfig.exe", &[], false).is_ok());
    }
}

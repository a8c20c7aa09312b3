//! Named crash points. A test lists them from the program, ends the real process at each with `abort`, and then
//! looks at what survived. Release builds contain the names of none and the checks of none.

/// Every crash point linked into this program.
// The linker's sections are what linkme is made of; the lint sees them as unsafe. Nothing here dereferences anything.
#[allow(unsafe_code)]
#[linkme::distributed_slice]
pub static POINTS: [&'static str];

/// Names of all crash points linked into this program, sorted. Empty in release builds.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = POINTS.iter().copied().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Aborts the process when `CHASQUI_FAULT` names this point (`name`, or `name@n` for its n-th pass). Called by
/// [`fault_point!`](crate::fault_point) alone.
#[cfg(debug_assertions)]
pub fn pass(name: &str, passes: &std::sync::atomic::AtomicU32) {
    let pass = passes.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
    let Ok(wanted) = std::env::var("CHASQUI_FAULT") else {
        return;
    };
    let (wanted_name, wanted_pass) = match wanted.split_once('@') {
        Some((name, n)) => (name, n.parse().unwrap_or(1)),
        None => (wanted.as_str(), 1),
    };
    if wanted_name == name && wanted_pass == pass {
        eprintln!("fault point {name}: aborting as CHASQUI_FAULT asks");
        std::process::abort();
    }
}

/// Where the system's own files and programs are: `/`, or in builds for tests what `CHASQUI_SYSTEM_ROOT` says, so that a test
/// can restart a machine that it made of files.
pub fn system_root() -> std::path::PathBuf {
    #[cfg(debug_assertions)]
    if let Some(root) = std::env::var_os("CHASQUI_SYSTEM_ROOT") {
        return root.into();
    }
    std::path::PathBuf::from("/")
}

/// What a test sets instead of a program, or a time in milliseconds; None in builds for people.
pub fn test_value(name: &str) -> Option<std::ffi::OsString> {
    if cfg!(debug_assertions) {
        std::env::var_os(name)
    } else {
        None
    }
}

/// A place where a test may end the process: `fault_point!("agent.journal.started")`.
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {{
        #[cfg(debug_assertions)]
        {
            #[allow(unsafe_code)]
            #[$crate::linkme::distributed_slice($crate::fault::POINTS)]
            #[linkme(crate = $crate::linkme)]
            static POINT: &str = $name;
            static PASSES: ::std::sync::atomic::AtomicU32 = ::std::sync::atomic::AtomicU32::new(0);
            $crate::fault::pass(POINT, &PASSES);
        }
    }};
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_point_is_listed_once_it_stands_in_the_program() {
        fn never_called() {
            crate::fault_point!("base.test.point");
        }
        let _ = never_called;
        assert!(super::names().contains(&"base.test.point"));
    }
}

//! `dns.flush` and `dns.flushed`: the cache of names, of systemd-resolved or of nscd. A machine without either has no cache
//! to empty and says so.

use std::path::Path;

use chasqui_base::text::Text;
use serde_json::{Value, json};

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, below, fact, not_applicable,
};
use super::{program, tool};
use crate::policy::Refused;

#[derive(Clone, Debug)]
enum Cache {
    Resolved(String),
    Nscd(String),
}

/// `dns.flush`.
pub fn step(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(find(&making.setting.root)?))
}

/// `dns.flushed`.
pub fn check(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(find(&making.setting.root)?))
}

fn find(root: &Path) -> Result<Cache, Refused> {
    let resolved = || {
        below(root, "/run/systemd/resolve")
            .is_dir()
            .then(|| tool::find(root, &["/usr/bin/resolvectl", "/bin/resolvectl"]))?
    };
    let nscd = || {
        below(root, "/run/nscd")
            .is_dir()
            .then(|| tool::find(root, &["/usr/sbin/nscd", "/sbin/nscd"]))?
    };
    resolved()
        .map(Cache::Resolved)
        .or_else(|| nscd().map(Cache::Nscd))
        .ok_or_else(|| {
            not_applicable(
                "este equipo no guarda nombres: no corre systemd-resolved ni nscd, así que no hay caché que vaciar",
                "this machine keeps no names: neither systemd-resolved nor nscd runs, so there is no cache to empty",
            )
        })
}

impl Cache {
    /// Names kept now; None when the service does not tell.
    async fn count(&self) -> Option<u64> {
        match self {
            Self::Resolved(tool) => resolved_count(&tool::words(tool, &["statistics"]).await?),
            Self::Nscd(tool) => nscd_count(&tool::words(tool, &["-g"]).await?),
        }
    }
}

impl Step for Cache {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let (tool, args): (&str, &[&str]) = match self {
                Self::Resolved(tool) => (tool, &["flush-caches"]),
                Self::Nscd(tool) => (tool, &["-i", "hosts"]),
            };
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let limits = work.control.limits(work.limit);
            tool::step_end(program::run(tool, &args, &limits, &work.control.output).await)
        })
    }
}

impl Check for Cache {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { json!(self.count().await) })
    }

    fn judge<'a>(&'a self, before: &'a Value, _: &'a Value, _: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async { judge(before.as_u64(), self.count().await) })
    }
}

/// Names asked for since are kept again, so fewer than before is as good as none.
fn judge(before: Option<u64>, after: Option<u64>) -> Finding {
    let (holds, es, en) = match (before, after) {
        (_, None) => (
            false,
            "el servicio de nombres no dice cuántos guarda".to_owned(),
            "the name service does not say how many it keeps".to_owned(),
        ),
        (_, Some(0)) => (
            true,
            "la caché de nombres quedó vacía".to_owned(),
            "the cache of names is empty".to_owned(),
        ),
        (Some(before), Some(after)) if after < before => (
            true,
            format!("la caché bajó de {before} a {after} nombres"),
            format!("the cache went from {before} to {after} names"),
        ),
        (Some(0), Some(after)) => (
            true,
            format!("la caché estaba vacía y ya guarda {after} nombres nuevos"),
            format!("the cache was empty and already keeps {after} new names"),
        ),
        (_, Some(after)) => (
            false,
            format!("la caché guarda {after} nombres: no se vació"),
            format!("the cache keeps {after} names: it was not emptied"),
        ),
    };
    Finding {
        holds,
        facts: vec![fact("cached_names", before, after, "")],
        explanation: Text::new(es, en),
    }
}

/// Of `resolvectl statistics`.
fn resolved_count(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Current Cache Size:"))?
        .trim()
        .parse()
        .ok()
}

/// Of `nscd -g`: the numbers of each cache follow its headline.
fn nscd_count(text: &str) -> Option<u64> {
    text.lines()
        .skip_while(|line| !line.starts_with("hosts cache"))
        .find_map(|line| {
            let line = line.trim();
            line.strip_suffix("current number of cached values")?
                .trim()
                .parse()
                .ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_words_of_both_services() {
        let resolved =
            "DNSSEC supported: no\n\nCache\n  Current Cache Size: 47\n          Cache Hits: 9\n";
        assert_eq!(resolved_count(resolved), Some(47));
        assert_eq!(resolved_count("Cache\n"), None);
        let nscd = "passwd cache:\n\n              5  current number of cached values\n\nhosts cache:\n\n            yes  cache is enabled\n             12  current number of cached values\n";
        assert_eq!(nscd_count(nscd), Some(12));
        assert_eq!(nscd_count(""), None);
    }

    #[test]
    fn an_emptied_cache_holds_and_an_unread_one_does_not() {
        for (before, after, holds) in [
            (Some(9), Some(0), true),
            (Some(9), Some(2), true),
            (Some(9), Some(9), false),
            (Some(0), Some(1), true),
            (None, Some(3), false),
            (None, Some(0), true),
            (Some(9), None, false),
        ] {
            assert_eq!(judge(before, after).holds, holds, "{before:?} {after:?}");
        }
    }
}

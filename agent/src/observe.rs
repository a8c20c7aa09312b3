//! Observing the machine in a short-lived child, so that what collecting takes of memory goes back, and telling the
//! coordinator what it lacks. An unchanged machine sends digests alone.

use std::process::Stdio;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_proto::error::reason_of;
use chasqui_proto::v1;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tonic::transport::Channel;

use crate::agent::Agent;
use crate::inventory::{self, Inventory, Source};
use crate::section_base::SectionBase;
use crate::status::Problem;

const CHILD_LIMIT: Duration = Duration::from_secs(180);
/// How long a child that said everything may take to end.
const CHILD_END: Duration = Duration::from_secs(5);
/// Most bytes a child may print: a little more than all sections at their bounds.
const MAX_CHILD_OUTPUT: u64 = 80 * 1024 * 1024;
/// Most bytes of sections in one call.
const MAX_REPORT: usize = 12 * 1024 * 1024;
/// The coordinator cannot use a difference.
const WHOLE_PLEASE: [&str; 2] = ["SECTION_BASE_UNKNOWN", "SECTION_DIFFERENCE_MISMATCH"];
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// What the hidden command `collect-child` does: observes and prints the length (8 bytes, big endian) and the encoded
/// inventory. With the length the reader need not wait for the end: a thread that hangs in the kernel keeps the pipe open
/// after everything was said.
///
/// `memory` is the folder where answers of sleeping disks are kept.
pub fn collect_child(
    root: Option<&std::path::Path>,
    names: bool,
    memory: Option<&std::path::Path>,
) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut source = match root {
        Some(root) => Source::captured(root)?,
        None => Source::live(),
    };
    if !names {
        source = source.without_names();
    }
    if let Some(memory) = memory {
        source = source.with_memory(memory);
    }
    let inventory = inventory::encode(&inventory::collect(&source, clock::now_ms()));
    let mut out = std::io::stdout().lock();
    out.write_all(&(inventory.len() as u64).to_be_bytes())?;
    out.write_all(&inventory)?;
    out.flush()
}

/// Observes in a child.
pub async fn observe(agent: &Agent) -> Result<Inventory, Problem> {
    let failed = |why: String| {
        Problem::new(
            "COLLECTION_FAILED",
            Text::new(
                format!("no se pudo observar el equipo: {why}"),
                format!("the machine could not be observed: {why}"),
            ),
        )
    };
    // The program as it runs, also when its file was replaced by a newer one meanwhile.
    let program = std::path::PathBuf::from("/proc/self/exe");
    let program = if program.exists() {
        program
    } else {
        std::env::current_exe().map_err(|error| failed(error.to_string()))?
    };
    let mut command = Command::new(program);
    command
        .arg("collect-child")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    if let Some(root) = &agent.config.facts_root {
        command.arg("--root").arg(root);
    }
    if !agent.config.inventory_names {
        command.arg("--without-names");
    }
    command
        .arg("--memory")
        .arg(agent.config.state_dir.join("inventory"));
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let mut stdout = child
        .stdout
        .take()
        .ok_or_else(|| failed("no pipe".to_owned()))?;
    let read = async {
        let length = match stdout.read_u64().await {
            Ok(length) => length,
            // It ended before it said anything: its exit tells why.
            Err(_) => return Err(std::io::Error::other(child.wait().await?.to_string())),
        };
        if length > MAX_CHILD_OUTPUT {
            return Err(std::io::Error::other(format!("{length} bytes")));
        }
        let mut bytes = Vec::new();
        (&mut stdout).take(length).read_to_end(&mut bytes).await?;
        if (bytes.len() as u64) < length {
            let status = child.wait().await?;
            return Err(std::io::Error::other(format!(
                "{status}, {} of {length} bytes",
                bytes.len()
            )));
        }
        // One that hangs is ended when it is dropped; what it had to say was said.
        let _ = tokio::time::timeout(CHILD_END, child.wait()).await;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = tokio::time::timeout(CHILD_LIMIT, read)
        .await
        .map_err(|_| failed(format!("no end after {} s", CHILD_LIMIT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    inventory::decode(&bytes).map_err(|error| failed(error.to_string()))
}

/// Observes the machine and brings the coordinator what it lacks. Answers how many sections were sent.
pub async fn report(
    agent: &Agent,
    client: &mut LinkServiceClient<Channel>,
) -> Result<usize, Problem> {
    let inventory = observe(agent).await?;
    let offer = v1::OfferInventoryRequest {
        sections: inventory
            .sections
            .iter()
            .map(|section| v1::SectionOffer {
                kind: section.kind,
                digest: section.digest.clone(),
                observed_at_ms: section.observed_at_ms,
            })
            .collect(),
        volatile: Some(inventory.volatile),
    };
    let v1::OfferInventoryResponse { wanted, bases } = call(client.offer_inventory(offer)).await?;
    let mut sent = 0;
    let mut batch: Vec<v1::Section> = Vec::new();
    let mut size = 0usize;
    let base = SectionBase::of(&agent.config.state_dir);
    for section in inventory
        .sections
        .into_iter()
        .filter(|section| wanted.contains(&section.kind))
    {
        if section.kind() == v1::SectionKind::Software {
            send_list(client, &base, section, &bases).await?;
            sent += 1;
            continue;
        }
        if !batch.is_empty() && size + section.facts.len() > MAX_REPORT {
            send(client, std::mem::take(&mut batch)).await?;
            size = 0;
        }
        size += section.facts.len();
        sent += 1;
        batch.push(section);
    }
    if !batch.is_empty() {
        send(client, batch).await?;
    }
    Ok(sent)
}

/// Sends a long list as the difference to the one that both sides hold, where there is one and it is smaller; whole when
/// not, and also, once, when the coordinator cannot use the difference.
async fn send_list(
    client: &mut LinkServiceClient<Channel>,
    base: &SectionBase,
    section: v1::Section,
    held: &[v1::SectionBase],
) -> Result<(), Problem> {
    let held = held.iter().find(|held| held.kind == section.kind);
    let difference = held.and_then(|held| base.difference(&section, &held.digest));
    if let Some(difference) = difference {
        let request = v1::ReportInventoryRequest {
            request_id: clock::new_id().to_string(),
            sections: Vec::new(),
            differences: vec![difference],
        };
        let mut whole_please = false;
        let sent = call(async {
            let answer = client.report_inventory(request).await;
            whole_please = answer
                .as_ref()
                .err()
                .and_then(reason_of)
                .is_some_and(|reason| WHOLE_PLEASE.contains(&reason.as_str()));
            answer
        });
        match sent.await {
            Ok(_) => {
                base.keep(&section);
                return Ok(());
            }
            Err(problem) if whole_please => {
                tracing::info!(problem = problem.text.en, "the section is sent whole");
                base.forget();
            }
            Err(problem) => return Err(problem),
        }
    }
    send(client, vec![section.clone()]).await?;
    base.keep(&section);
    Ok(())
}

async fn send(
    client: &mut LinkServiceClient<Channel>,
    sections: Vec<v1::Section>,
) -> Result<(), Problem> {
    let request = v1::ReportInventoryRequest {
        request_id: clock::new_id().to_string(),
        sections,
        differences: Vec::new(),
    };
    call(client.report_inventory(request)).await.map(|_| ())
}

async fn call<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => {
            let failure = crate::enrol::refused(&status);
            Err(Problem::new(failure.code, failure.text))
        }
        Err(_) => Err(Problem::new(
            "COORDINATOR_SLOW",
            Text::new(
                "el coordinador no respondió a tiempo",
                "the coordinator did not answer in time",
            ),
        )),
    }
}

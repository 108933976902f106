//! `palisade policy-audit explain`.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use palisade_audit::explain::{self, Overall};
use palisade_audit::question::{Question, resolve};

use crate::cli::{Exit, Streams, failed};
use crate::inventory::{self, Loaded, Sources};

/// Say whether a connection is allowed, and why
///
/// An end is NAMESPACE/NAME or NAME (a pod, or else a workload or a Service that is called so), KIND/NAME or
/// NAMESPACE/KIND/NAME (pod, deployment, statefulset, daemonset, replicaset, job, cronjob, service, namespace, node, and the
/// short names of kubectl), an address, a CIDR, or any. Pods are named by labels too: NAMESPACE/* (all of a namespace) and
/// [NAMESPACE/]LABEL=VALUE[,LABEL=VALUE…] (those with all of these, in one namespace or in every one).
///
/// A port is a number, a range or a name, with /TCP, /UDP or /SCTP after it, or icmp; without one, all ports are asked about. An
/// IPv6 address with a port is in brackets.
///
/// Both directions are told: the policies that isolate, the rule that allows, or the rules that came nearest and what each
/// missed, and what would let the connection pass. Of many pods, those that get the same answer are one case.
///
/// Exit codes: 0, all that was asked about is allowed; 1, some of it is denied; 2, it could not run.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Who connects
    #[arg(value_name = "SRC")]
    from: String,
    /// Who answers, and on which port
    #[arg(value_name = "DST[:PORT[/PROTO]]")]
    to: String,
    #[command(flatten)]
    sources: Sources,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

const EXAMPLES: &str = "Examples:
  palisade policy-audit explain shop/client shop/web:80
  palisade policy-audit explain deployment/client service/web:http -n shop
  palisade policy-audit explain any shop/db:5432 -f manifests/
  palisade policy-audit explain app=client 'shop/*:80'
  palisade policy-audit explain shop/web [2001:db8::1]:443";

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let question = match Question::parse(&options.from, &options.to) {
        Ok(question) => question,
        Err(error) => return failed(&error, streams),
    };
    let loaded = match inventory::load(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let Loaded {
        inventory,
        origins,
        namespace,
        ..
    } = &loaded;
    let resolved = match resolve(inventory, namespace, &question) {
        Ok(resolved) => resolved,
        Err(error) => return failed(&error, streams),
    };
    let answer = match explain::explain(inventory, &resolved) {
        Ok(answer) => answer,
        Err(error) => return failed(&error, streams),
    };
    match options.output {
        Form::Text => {
            let text = explain::text(&answer, origins, streams.style);
            streams.text().write_all(text.as_bytes())?;
        }
        Form::Json => writeln!(streams.output, "{:#}", explain::json(&answer, origins))?,
    }
    Ok(match answer.verdict {
        Overall::Allowed => Exit::Success,
        Overall::Partly | Overall::Denied => Exit::Negative,
    })
}

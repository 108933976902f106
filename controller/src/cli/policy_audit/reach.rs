//! `palisade policy-audit reach`.

use std::io;

use clap::{Args, ValueEnum};
use palisade_audit::question::{End, InvalidQuestion};
use palisade_audit::relation::output;
use palisade_audit::relation::{Relation, Selection, Summary};

use crate::cli::{Exit, Streams, failed};
use crate::inventory::{self, Loaded, Sources};

/// Say who reaches whom on which ports
///
/// Pods that no policy tells apart are one class, with a name such as shop/deployment/web, shop/app=web or shop/* (all pods of
/// the namespace); addresses outside are ranges. The answer is exact: for each pair and port it is what policies mean. A line
/// is for both families wherever they agree.
///
/// Two things are always allowed and in no line: connections between a pod and its own node, and from a pod to itself.
///
/// An END is what explain takes, without a port: [NAMESPACE/]NAME, [NAMESPACE/]KIND/NAME (deployment/web, service/web),
/// namespace/NAME, node/NAME, NAMESPACE/*, [NAMESPACE/]LABEL=VALUE[,LABEL=VALUE…], an address, a CIDR or any.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// Only connections from here
    #[arg(long, value_name = "END")]
    from: Option<String>,
    /// Only connections to here
    #[arg(long, value_name = "END")]
    to: Option<String>,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people; long lists are cut short
    Table,
    /// The same with everything, and the policies that isolate
    Wide,
    /// For programs
    Json,
    /// A line for each pair
    Csv,
    /// For Graphviz
    Dot,
    /// A flowchart for Markdown
    Mermaid,
    /// A page with a filter
    Html,
}

impl From<Form> for output::Form {
    fn from(form: Form) -> Self {
        match form {
            Form::Table => Self::Table,
            Form::Wide => Self::Wide,
            Form::Json => Self::Json,
            Form::Csv => Self::Csv,
            Form::Dot => Self::Dot,
            Form::Mermaid => Self::Mermaid,
            Form::Html => Self::Html,
        }
    }
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let end = |text: &Option<String>| text.as_deref().map(End::parse).transpose();
    let (from, to) = match end(&options.from).and_then(|from| Ok((from, end(&options.to)?))) {
        Ok(ends) => ends,
        Err(InvalidQuestion::SourcePort(end)) => {
            writeln!(
                streams.errors,
                "error: {end:?}: an END has no port here, as reach tells all ports; `explain` takes one"
            )?;
            return Ok(Exit::Failure);
        }
        Err(error) => return failed(&error, streams),
    };
    let loaded = match inventory::load(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let Loaded {
        inventory, namespace, ..
    } = &loaded;
    let relation = Relation::of(inventory);
    let selection = match Selection::of(&relation, namespace, from.as_ref(), to.as_ref()) {
        Ok(selection) => selection,
        Err(error) => return failed(&error, streams),
    };
    for host in selection.hosts(inventory) {
        writeln!(streams.errors, "note: {host}")?;
    }
    let (form, style) = (options.output.into(), streams.style);
    if let Some(warning) = output::warning(&relation, &selection, form) {
        writeln!(streams.errors, "warning: {warning}")?;
    }
    match options.output {
        Form::Table | Form::Wide => {
            output::write(&relation, &selection, form, style, &mut streams.text())?;
        }
        Form::Json | Form::Csv | Form::Dot | Form::Mermaid | Form::Html => {
            output::write(&relation, &selection, form, style, streams.output)?;
        }
    }
    if !selection.has_all_sources() && relation.rows(&selection).next().is_none() {
        let of = |end: &Option<String>| end.clone().unwrap_or_else(|| "anybody".to_owned());
        let (from, to) = (of(&options.from), of(&options.to));
        writeln!(
            streams.errors,
            "nothing is allowed from {from} to {to} but what always is"
        )?;
    }
    writeln!(streams.errors, "{}", Summary::of(&relation))?;
    Ok(Exit::Success)
}

//! A small page of its own: the wide table with a filter. Nothing is loaded from anywhere.

use std::io::{self, Write};

use super::{Saying, Word, Words, destinations, family, ports, sources};
use crate::relation::{Relation, Selection, Summary};

/// What the page looks like and how it filters. The filter hides lines that lack one of its words.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Who reaches whom</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
  input { font: inherit; padding: .4rem .6rem; width: min(30rem, 100%); box-sizing: border-box; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; margin-top: 1rem; width: 100%; }
  th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }
  td { overflow-wrap: anywhere; }
  .none { opacity: .65; }
</style>
<h1>Who reaches whom</h1>
"#;

const SCRIPT: &str = r#"<script>
  const input = document.querySelector("input");
  const lines = Array.from(document.querySelectorAll("tbody tr"), row => [row, row.textContent.toLowerCase()]);
  const count = document.querySelector("output");
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, text] of lines) {
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.value = `${shown} of ${lines.length} lines`;
  };
  input.addEventListener("input", filter);
  filter();
</script>
"#;

pub(super) fn write(relation: &Relation<'_>, selection: &Selection, to: &mut dyn Write) -> io::Result<()> {
    let words = Words::of(relation.ends());
    to.write_all(HEAD.as_bytes())?;
    for line in Summary::of(relation).to_string().lines() {
        writeln!(to, "<p>{}</p>", escaped(line))?;
    }
    writeln!(
        to,
        "<p><label>Filter <input type=\"search\" placeholder=\"shop 443/TCP\"></label> <output></output></p>"
    )?;
    writeln!(to, "<div class=\"wide\"><table>")?;
    writeln!(
        to,
        "<thead><tr><th scope=\"col\">From<th scope=\"col\">To<th scope=\"col\">Ports<th scope=\"col\">Family</tr></thead>\n<tbody>"
    )?;
    for line in relation.lines(selection) {
        let say = |list: &[Word]| {
            let said: Vec<String> = list
                .iter()
                .map(|word| escaped(&words.text(word, usize::MAX)))
                .collect();
            said.join("<br>")
        };
        let targets = destinations(&words, selection, &line);
        let Saying { all, words: from } = sources(&words, selection, &line);
        let (class, from) = match all {
            Some(all) => ("", format!("{} except<br>{}", say(&[all]), say(&from))),
            None if from.is_empty() => (" class=\"none\"", "nobody".to_owned()),
            None => ("", say(&from)),
        };
        writeln!(
            to,
            "<tr{class}><td>{from}<td>{}<td>{}<td>{}</tr>",
            say(&targets),
            escaped(&ports(&line.ports)),
            family(line.family)
        )?;
    }
    writeln!(to, "</tbody></table></div>")?;
    to.write_all(SCRIPT.as_bytes())?;
    writeln!(to, "</html>")
}

/// Text, and nothing but text.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escaped("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
    }
}

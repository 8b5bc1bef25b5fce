//! A document of our own as HTML: headings, paragraphs, lists, tables, and words in backquotes. Whatever else stands there is text.

use maud::{Markup, html};

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Heading(usize, String),
    Paragraph(String),
    List(Vec<String>),
    Table(Vec<Vec<String>>),
}

/// All of it. Its headings stand below those of the page.
pub(super) fn shown(document: &str) -> Markup {
    html! {
        @for block in blocks(document) {
            @match block {
                Block::Heading(1, text) => h3 { (words(&text)) },
                Block::Heading(_, text) => h4 { (words(&text)) },
                Block::Paragraph(text) => p { (words(&text)) },
                Block::List(items) => ul { @for item in &items { li { (words(item)) } } },
                Block::Table(rows) => (table(&rows)),
            }
        }
    }
}

fn table(rows: &[Vec<String>]) -> Markup {
    html! {
        div class="scroll tall" tabindex="0" role="region" aria-label="Table" {
            table {
                @if let Some((head, rows)) = rows.split_first() {
                    thead { tr { @for cell in head { th scope="col" { (words(cell)) } } } }
                    tbody {
                        @for row in rows {
                            tr { @for cell in row { td { (words(cell)) } } }
                        }
                    }
                }
            }
        }
    }
}

/// A text in which each second part between backquotes is code.
fn words(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for line in document.lines() {
        let text = line.trim();
        let level = text.chars().take_while(|letter| *letter == '#').count();
        // Pictures and remarks are not for this page.
        if text.is_empty() || text.starts_with("<!--") || text.starts_with("![") {
            is_open = false;
        } else if level > 0 {
            blocks.push(Block::Heading(level, text.trim_start_matches('#').trim().to_owned()));
            is_open = false;
        } else {
            let last = blocks.last_mut().filter(|_| is_open);
            if let Some(block) = add(last, line) {
                blocks.push(block);
            }
            is_open = true;
        }
    }
    blocks
}

/// Adds a line to the block that it continues, or gives the block that it begins.
fn add(last: Option<&mut Block>, line: &str) -> Option<Block> {
    let text = line.trim();
    let item = text.strip_prefix("- ");
    let row = text.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
    let cells = |row: &str| row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    match (last, item, row) {
        (Some(Block::List(items)), Some(item), _) => items.push(item.to_owned()),
        (_, Some(item), _) => return Some(Block::List(vec![item.to_owned()])),
        // The line below the head is a rule.
        (Some(Block::Table(_)), _, Some(row)) if row.chars().all(|letter| "-|: ".contains(letter)) => {}
        (Some(Block::Table(rows)), _, Some(row)) => rows.push(cells(row)),
        (_, _, Some(row)) => return Some(Block::Table(vec![cells(row)])),
        (Some(Block::Paragraph(before)), ..) => *before = format!("{before} {text}"),
        (Some(Block::List(items)), ..) => {
            if let Some(before) = items.last_mut() {
                *before = format!("{before} {text}");
            }
        }
        _ => return Some(Block::Paragraph(text.to_owned())),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_by_its_parts_and_escaped() {
        let document = "# A <b>\n<!-- no -->\ntext `x<y`\nmore\n\n| a | b |\n|---|---|\n| 1 | `2` |\n\n![p](q)\n- one\n  goes on\n- two\n";
        let expected = "<h3>A &lt;b&gt;</h3><p>text <code>x&lt;y</code> more</p>\
            <div class=\"scroll tall\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table><thead><tr><th scope=\"col\">a</th>\
            <th scope=\"col\">b</th></tr></thead><tbody><tr><td>1</td><td><code>2</code></td></tr></tbody></table></div>\
            <ul><li>one goes on</li><li>two</li></ul>";
        assert_eq!(shown(document).into_string(), expected);
    }

    #[test]
    fn the_shipped_card_has_its_figures() {
        let blocks = blocks(super::super::CARD);
        assert!(blocks.iter().any(|block| matches!(block, Block::Table(rows) if rows.len() > 50)));
        let rows =
            |block: &Block| matches!(block, Block::Table(rows) if rows.iter().any(|row| row.len() != rows[0].len()));
        assert!(!blocks.iter().any(rows), "each row has a cell for each head");
    }
}

//! From text to a tree. Every error knows its place.

use std::ops::Range;

use super::field::{self, Kind};
use super::{Op, Query, QueryError, Term, value};
use crate::Text;

/// Most characters of a query.
pub const MAX_CHARS: usize = 2_000;
/// Most terms.
pub const MAX_TERMS: usize = 64;
/// Most parentheses and negations within each other.
pub const MAX_DEPTH: usize = 16;

/// Reads a query. An empty one finds every device.
///
/// # Errors
/// The first thing that was not understood, where it stands, and what would be.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    if text.chars().count() > MAX_CHARS {
        return Err(at(
            text,
            0..text.len(),
            "QUERY_TOO_LONG",
            Text::new(
                format!(
                    "la consulta tiene más de {MAX_CHARS} caracteres: guarde partes como listas"
                ),
                format!(
                    "the query has more than {MAX_CHARS} characters: save parts of it as lists"
                ),
            ),
        ));
    }
    let tokens = split(text)?;
    let mut parser = Parser {
        text,
        tokens: &tokens,
        next: 0,
        terms: 0,
    };
    if tokens.is_empty() {
        return Ok(Query::All(Vec::new()));
    }
    let query = parser.any(0)?;
    match parser.peek() {
        None => Ok(query),
        Some(token) => Err(at(
            text,
            token.bytes.clone(),
            "QUERY_PARENTHESIS",
            Text::new(
                "este `)` no cierra nada: quítelo o agregue un `(`",
                "this `)` closes nothing: take it out or add a `(`",
            ),
        )),
    }
}

#[derive(Clone, Debug)]
struct Token {
    what: What,
    bytes: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Open,
    Close,
    Minus,
    Or,
    And,
    Not,
    /// Characters with whether each stood in quotes, and its place.
    Word(Vec<(char, bool, usize)>),
}

fn at(text: &str, bytes: Range<usize>, code: &'static str, why: Text) -> QueryError {
    let column = |byte: usize| {
        text.char_indices()
            .take_while(|(place, _)| *place < byte)
            .count()
    };
    QueryError {
        code,
        columns: column(bytes.start)..column(bytes.end),
        bytes,
        why,
    }
}

fn split(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some(&(start, ch)) = chars.peek() {
        let single = match ch {
            '(' => Some(What::Open),
            ')' => Some(What::Close),
            '-' => Some(What::Minus),
            _ => None,
        };
        if ch.is_whitespace() {
            chars.next();
            continue;
        }
        if let Some(what) = single {
            chars.next();
            tokens.push(Token {
                what,
                bytes: start..start + ch.len_utf8(),
            });
            continue;
        }
        let mut word = Vec::new();
        let mut bare = true;
        let mut end = start;
        while let Some(&(place, ch)) = chars.peek() {
            if ch.is_whitespace() || matches!(ch, '(' | ')') {
                break;
            }
            chars.next();
            end = place + ch.len_utf8();
            if ch != '"' {
                word.push((ch, false, place));
                continue;
            }
            bare = false;
            // A mark, so that `=""` differs from `=`.
            let mut closed = false;
            let mut empty = true;
            while let Some((place, ch)) = chars.next() {
                end = place + ch.len_utf8();
                match ch {
                    '"' => {
                        closed = true;
                        break;
                    }
                    '\\' if matches!(chars.peek(), Some((_, '"' | '\\'))) => {
                        if let Some((place, ch)) = chars.next() {
                            word.push((ch, true, place));
                        }
                        empty = false;
                    }
                    ch => {
                        word.push((ch, true, place));
                        empty = false;
                    }
                }
            }
            if !closed {
                return Err(at(
                    text,
                    place..text.len(),
                    "QUERY_QUOTE",
                    Text::new("falta cerrar las comillas", "the closing quote is missing"),
                ));
            }
            if empty {
                word.push(('\0', true, place));
            }
        }
        let plain: String = word.iter().map(|(ch, ..)| *ch).collect();
        let what = match plain.as_str() {
            "OR" | "o" | "O" if bare => What::Or,
            "AND" | "y" | "Y" if bare => What::And,
            "NOT" | "NO" if bare => What::Not,
            _ => What::Word(word),
        };
        tokens.push(Token {
            what,
            bytes: start..end,
        });
    }
    Ok(tokens)
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    terms: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn peek_what(&self) -> Option<&What> {
        self.peek().map(|token| &token.what)
    }

    fn any(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut parts = vec![self.all(depth)?];
        while self.peek_what() == Some(&What::Or) {
            self.next += 1;
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Query::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Query, QueryError> {
        let mut parts = vec![self.one(depth)?];
        loop {
            match self.peek_what() {
                None | Some(What::Or | What::Close) => break,
                Some(What::And) => {
                    self.next += 1;
                    parts.push(self.one(depth)?);
                }
                Some(_) => parts.push(self.one(depth)?),
            }
        }
        Ok(one_or(parts, Query::All))
    }

    fn one(&mut self, depth: usize) -> Result<Query, QueryError> {
        let Some(token) = self.peek().cloned() else {
            let end = self.text.len();
            return Err(at(
                self.text,
                end..end,
                "QUERY_TERM_MISSING",
                Text::new("falta un término al final", "a term is missing at the end"),
            ));
        };
        if depth > MAX_DEPTH {
            return Err(at(
                self.text,
                token.bytes,
                "QUERY_TOO_DEEP",
                Text::new(
                    format!("más de {MAX_DEPTH} niveles: guarde partes como listas"),
                    format!("more than {MAX_DEPTH} levels: save parts as lists"),
                ),
            ));
        }
        match token.what {
            What::Minus | What::Not => {
                self.next += 1;
                Ok(match self.one(depth + 1)? {
                    Query::Not(part) => *part,
                    part => Query::Not(Box::new(part)),
                })
            }
            What::Open => {
                self.next += 1;
                let query = self.any(depth + 1)?;
                if self.peek_what() != Some(&What::Close) {
                    return Err(at(
                        self.text,
                        token.bytes,
                        "QUERY_PARENTHESIS",
                        Text::new(
                            "falta el `)` de este paréntesis",
                            "the `)` of this parenthesis is missing",
                        ),
                    ));
                }
                self.next += 1;
                Ok(query)
            }
            What::Word(word) => {
                self.next += 1;
                self.terms += 1;
                if self.terms > MAX_TERMS {
                    return Err(at(
                        self.text,
                        token.bytes,
                        "QUERY_TOO_MANY_TERMS",
                        Text::new(
                            format!("más de {MAX_TERMS} términos: guarde partes como listas"),
                            format!("more than {MAX_TERMS} terms: save parts as lists"),
                        ),
                    ));
                }
                self.term(&word, &token.bytes).map(Query::Term)
            }
            What::Close | What::Or | What::And => Err(at(
                self.text,
                token.bytes,
                "QUERY_TERM_MISSING",
                Text::new(
                    "aquí se espera un término; si es una palabra que busca, póngala entre comillas",
                    "a term is expected here; quote it if it is a word to look for",
                ),
            )),
        }
    }

    fn term(&self, word: &[(char, bool, usize)], bytes: &Range<usize>) -> Result<Term, QueryError> {
        let plain = |part: &[(char, bool, usize)]| -> String {
            part.iter()
                .map(|(ch, ..)| *ch)
                .filter(|ch| *ch != '\0')
                .collect()
        };
        let name_end = word
            .iter()
            .position(|(ch, quoted, _)| *quoted || !(ch.is_alphanumeric() || *ch == '_'))
            .unwrap_or(word.len());
        let (name, rest) = word.split_at_checked(name_end).unwrap_or((word, &[]));
        let signs: String = rest
            .iter()
            .take(2)
            .take_while(|(_, quoted, _)| !quoted)
            .map(|(ch, ..)| *ch)
            .collect();
        let op = Op::ALL.iter().find(|(_, sign)| signs.starts_with(sign));
        let Some((op, sign)) = op.filter(|_| !name.is_empty() && !is_address(word)) else {
            if word
                .first()
                .is_some_and(|(ch, quoted, _)| !quoted && matches!(ch, ':' | '=' | '<' | '>' | '!'))
            {
                return Err(at(
                    self.text,
                    bytes.clone(),
                    "QUERY_FIELD_MISSING",
                    Text::new(
                        "falta el campo antes del signo, por ejemplo ram<8G",
                        "the field before the sign is missing, for example ram<8G",
                    ),
                ));
            }
            let text = plain(word);
            if crate::search::fold(&text).is_empty() {
                return Err(at(
                    self.text,
                    bytes.clone(),
                    "QUERY_TERM_MISSING",
                    Text::new("el término está vacío", "the term is empty"),
                ));
            }
            return Ok(Term::Word(text));
        };
        let name_text = plain(name);
        let value_start = name_end + sign.len();
        let name_bytes = bytes.start..rest.first().map_or(bytes.end, |(_, _, place)| *place);
        let Some(field) = field::find(&name_text) else {
            let near = field::nearest(&name_text);
            let (es, en) = match near {
                Some(near) => (
                    format!("no hay campo `{name_text}`: ¿quiso decir `{near}`?"),
                    format!("there is no field `{name_text}`: did you mean `{near}`?"),
                ),
                None => (
                    format!(
                        "no hay campo `{name_text}`: `chasqui device fields` los muestra; entre comillas es una palabra"
                    ),
                    format!(
                        "there is no field `{name_text}`: `chasqui device fields` shows them; in quotes it is a word"
                    ),
                ),
            };
            return Err(at(
                self.text,
                name_bytes,
                "QUERY_FIELD_UNKNOWN",
                Text::new(es, en),
            ));
        };
        let value = word.get(value_start..).unwrap_or_default();
        let quoted = value.iter().any(|(_, quoted, _)| *quoted);
        let value_bytes = value.first().map_or(bytes.end..bytes.end, |(_, _, place)| {
            // The opening quote belongs to the value.
            let quote = usize::from(
                value
                    .first()
                    .is_some_and(|(ch, quoted, _)| *quoted && *ch != '\0'),
            );
            place.saturating_sub(quote)..bytes.end
        });
        let value = plain(value);
        // A list is a name, whatever stands in it.
        if field.kind == Kind::List && *op != Op::Has && *op != Op::Is {
            let why = Text::new("una lista va con `:`", "a list goes with `:`");
            return Err(at(self.text, value_bytes, "QUERY_VALUE", why));
        }
        if let Err(why) = value::read(field, *op, &value, quoted, 0) {
            return Err(at(self.text, value_bytes, "QUERY_VALUE", why));
        }
        Ok(Term::Field {
            field,
            op: *op,
            value,
            quoted,
        })
    }
}

fn one_or(mut parts: Vec<Query>, many: fn(Vec<Query>) -> Query) -> Query {
    if parts.len() == 1
        && let Some(only) = parts.pop()
    {
        return only;
    }
    many(parts)
}

/// A MAC or IPv6 address has colons of its own.
fn is_address(word: &[(char, bool, usize)]) -> bool {
    let colons = word.iter().filter(|(ch, ..)| *ch == ':').count();
    colons >= 2
        && word
            .iter()
            .all(|(ch, ..)| ch.is_ascii_hexdigit() || *ch == ':')
}

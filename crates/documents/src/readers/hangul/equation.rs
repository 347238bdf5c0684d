//! 한글's equation script → a line that people and a search can read: `{a} over {b}` → `a/b`. Layout words go, signs
//! become their characters, what is not known stays as it is written.

/// The script as a readable line.
pub(super) fn readable(script: &str) -> String {
    let tokens = tokens(script);
    let mut at = 0;
    let line = list(&tokens, &mut at, 0);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Deepest braces followed; what lies deeper is dropped with them.
const MAX_DEPTH: usize = 32;

fn tokens(script: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in script.chars().take(20_000) {
        // Latin words are commands or names, Korean ones are words; they end at one another.
        if c.is_alphabetic() {
            if word.ends_with(|l: char| l.is_ascii() != c.is_ascii()) {
                out.push(std::mem::take(&mut word));
            }
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            out.push(std::mem::take(&mut word));
        }
        match c {
            // Spaces of three widths, column marks, line marks.
            '~' | '`' | '&' | '"' => {}
            '#' => out.push(";".to_owned()),
            c if c.is_whitespace() => {}
            // Numbers stay whole.
            c if c.is_ascii_digit() || c == '.' => match out.last_mut() {
                Some(last) if last.ends_with(|l: char| l.is_ascii_digit() || l == '.') => last.push(c),
                _ => out.push(c.to_string()),
            },
            c => out.push(c.to_string()),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}

/// Reads up to the closing brace or the end.
fn list(tokens: &[String], at: &mut usize, depth: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        match token.to_ascii_lowercase().as_str() {
            "}" => break,
            "over" | "atop" => {
                let below = term(tokens, at, depth);
                let above = parts.pop().unwrap_or_default();
                parts.push(format!("{}/{}", grouped(&above), grouped(&below)));
            }
            "sqrt" | "root" => {
                let inside = term(tokens, at, depth);
                parts.push(format!("√{}", grouped(&inside)));
            }
            sign @ ("^" | "_" | "sup" | "sub") => {
                let raised = term(tokens, at, depth);
                let base = parts.pop().unwrap_or_default();
                let sign = if matches!(sign, "^" | "sup") { '^' } else { '_' };
                parts.push(format!("{base}{sign}{}", grouped(&raised)));
            }
            _ => {
                *at -= 1;
                parts.push(term(tokens, at, depth));
            }
        }
    }
    parts.retain(|p| !p.is_empty());
    parts.join(" ")
}

/// One token or one group in braces.
fn term(tokens: &[String], at: &mut usize, depth: usize) -> String {
    let Some(token) = tokens.get(*at) else { return String::new() };
    *at += 1;
    if token != "{" {
        return sign(token);
    }
    if depth < MAX_DEPTH {
        return list(tokens, at, depth + 1);
    }
    let mut open = 1;
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        open += i32::from(token == "{") - i32::from(token == "}");
        if open == 0 {
            break;
        }
    }
    String::new()
}

/// In round brackets when it is more than one thing.
fn grouped(text: &str) -> String {
    let single = !text.contains([' ', '/']) || text.starts_with('(') && text.ends_with(')');
    if single { text.to_owned() } else { format!("({text})") }
}

/// Words of the script and what they stand for; an empty one only lays out.
const SIGNS: &[(&str, &str)] = &[
    ("times", "×"),
    ("div", "÷"),
    ("cdot", "·"),
    ("pm", "±"),
    ("plusminus", "±"),
    ("mp", "∓"),
    ("leq", "≤"),
    ("le", "≤"),
    ("geq", "≥"),
    ("ge", "≥"),
    ("neq", "≠"),
    ("ne", "≠"),
    ("approx", "≈"),
    ("equiv", "≡"),
    ("sim", "∼"),
    ("propto", "∝"),
    ("inf", "∞"),
    ("infinity", "∞"),
    ("sum", "Σ"),
    ("prod", "∏"),
    ("int", "∫"),
    ("partial", "∂"),
    ("nabla", "∇"),
    ("in", "∈"),
    ("subset", "⊂"),
    ("cup", "∪"),
    ("cap", "∩"),
    ("forall", "∀"),
    ("exist", "∃"),
    ("rarrow", "→"),
    ("larrow", "←"),
    ("therefore", "∴"),
    ("because", "∵"),
    ("deg", "°"),
    ("prime", "′"),
    ("cdots", "⋯"),
    ("ldots", "…"),
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("eta", "η"),
    ("theta", "θ"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("pi", "π"),
    ("rho", "ρ"),
    ("sigma", "σ"),
    ("tau", "τ"),
    ("phi", "φ"),
    ("chi", "χ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("left", ""),
    ("right", ""),
    ("rm", ""),
    ("it", ""),
    ("bold", ""),
    ("matrix", ""),
    ("pmatrix", ""),
    ("bmatrix", ""),
    ("cases", ""),
    ("pile", ""),
    ("lpile", ""),
    ("bar", ""),
    ("vec", ""),
    ("hat", ""),
    ("dot", ""),
    ("from", "_"),
    ("to", "^"),
];

fn sign(token: &str) -> String {
    let lower = token.to_ascii_lowercase();
    match SIGNS.iter().find(|(word, _)| *word == lower) {
        // Delta is not delta.
        Some((_, sign)) if token.starts_with(|c: char| c.is_ascii_uppercase()) && greek(sign) => sign.to_uppercase(),
        Some((_, sign)) => (*sign).to_owned(),
        None => token.to_owned(),
    }
}

fn greek(sign: &str) -> bool {
    sign.chars().all(|c| ('α'..='ω').contains(&c)) && !sign.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_read_as_lines() {
        let cases = [
            ("{a} over {b}", "a/b"),
            ("x= {-b +- sqrt {b ^{2} -4ac}} over {2a}", "x = (- b + - √(b^2 - 4 ac))/(2 a)"),
            ("E=mc ^{2}", "E = mc^2"),
            ("DELTA x LEQ alpha times 0.25", "Δ x ≤ α × 0.25"),
            ("rm 점수=left ( {획득} over {배점} right ) times 100", "점수 = ( 획득/배점 ) × 100"),
        ];
        for (script, line) in cases {
            assert_eq!(readable(script), line, "{script}");
        }
    }

    #[test]
    fn broken_scripts_end() {
        for script in ["{".repeat(500), "}".repeat(500), "over over".into(), "^".into(), "{a} over".into()] {
            let _ = readable(&script);
        }
    }
}

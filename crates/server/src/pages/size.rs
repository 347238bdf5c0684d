//! Sizes as people read them: "830 B", "12.4 MB".

/// Bytes with one decimal from kilobytes on.
pub fn bytes(count: i64) -> String {
    let mut value = count.max(0) as f64;
    if value < 1024.0 {
        return format!("{value:.0} B");
    }
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    let shown = format!("{value:.1}");
    format!("{} {unit}", shown.strip_suffix(".0").unwrap_or(&shown))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn short_and_exact_enough() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(13_002_342), "12.4 MB");
        assert_eq!(bytes(100 << 20), "100 MB");
    }
}

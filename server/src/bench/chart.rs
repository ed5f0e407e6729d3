//! Figures as a picture: horizontal bars in SVG.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const BAR: f64 = 20.0;
const STEP: f64 = 28.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 48.0;

/// A chart of values that are not negative, in their order; `unit` stands under the title.
pub(super) fn bars(title: &str, unit: &str, values: &[(String, f64)]) -> String {
    let height = TOP + STEP * values.len() as f64 + 12.0;
    let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n<text x=\"{LEFT}\" y=\"37\" fill=\"#666\">{}</text>\n",
        escaped(title),
        escaped(unit)
    );
    for (index, (name, value)) in values.iter().enumerate() {
        let top = TOP + STEP * index as f64;
        let middle = top + BAR * 0.7;
        let length = (WIDTH - LEFT - RIGHT) * value / most;
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"#3572b0\"/>\n\
             <text x=\"{:.1}\" y=\"{middle:.1}\">{}</text>\n",
            LEFT - 8.0,
            escaped(name),
            LEFT + length + 6.0,
            grouped(*value)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A number without its fraction, in groups of three digits.
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{bars, grouped};

    #[test]
    fn the_longest_bar_fills_the_width() {
        let svg = bars("a < b", "events", &[("q0".into(), 2_000_000.0), ("q1".into(), 500_000.0)]);
        assert!(svg.contains("a &lt; b"));
        assert!(svg.contains("width=\"580.0\"") && svg.contains("width=\"145.0\""), "{svg}");
        assert!(svg.contains(">2,000,000</text>") && svg.contains(">500,000</text>"));
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!([0.4, 999.0, 1_000.0, 1_234_567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}

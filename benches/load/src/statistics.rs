//! The median, and the spread of a few figures. Pure.

/// The figure in the middle.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The measured figure that is `part` of the way from the smallest to the greatest, from 0 to 1;
/// NaN if there is none.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * part).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The smallest and the greatest figure.
pub fn spread(figures: &[f64]) -> (f64, f64) {
    (quantile(figures, 0.0), quantile(figures, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_figures_that_were_measured() {
        let figures = [5.0, 1.0, 3.0, 2.0, 4.0];
        let found = [
            quantile(&figures, 0.0),
            median(&figures),
            quantile(&figures, 0.99),
        ];
        assert_eq!(found.map(|figure| figure as i32), [1, 3, 5]);
        assert!(quantile(&[], 0.5).is_nan());
    }
}

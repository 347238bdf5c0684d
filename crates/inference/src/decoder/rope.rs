//! Rotary position tables: cosines and sines of every position that was asked for so far, computed in double precision
//! and kept in single.

use super::config::{Config, Scaling, yarn_attention};
use std::f64::consts::PI;

/// Angles per position of each rotated pair, and how long the rotated vectors become.
pub struct Rope {
    frequencies: Vec<f64>,
    magnitude: f64,
    /// `[position][pair][cos, sin]`
    table: Vec<[f32; 2]>,
}

impl Rope {
    /// `factors` are the file's `rope_freqs.weight`: each frequency is divided by its own.
    pub fn new(config: &Config, factors: Option<&[f32]>) -> Self {
        let pairs = config.rope_dim / 2;
        let base: Vec<f64> =
            (0..pairs).map(|i| config.rope_base.powf(-2.0 * i as f64 / config.rope_dim as f64)).collect();
        let mut frequencies: Vec<f64> = base.iter().enumerate().map(|(i, f)| scaled(config, i, *f)).collect();
        if let Some(factors) = factors {
            for (f, by) in frequencies.iter_mut().zip(factors) {
                *f /= f64::from(*by);
            }
        }
        let magnitude = match config.scaling {
            Scaling::Yarn { factor, attention, .. } => attention * yarn_attention(factor),
            _ => 1.0,
        };
        Self { frequencies, magnitude, table: Vec::new() }
    }

    /// Makes the table reach to `positions` positions.
    pub fn reach(&mut self, positions: usize) {
        let pairs = self.frequencies.len();
        for position in self.table.len() / pairs..positions {
            for f in &self.frequencies {
                let (sin, cos) = (position as f64 * f).sin_cos();
                self.table.push([(cos * self.magnitude) as f32, (sin * self.magnitude) as f32]);
            }
        }
    }

    /// Cosines and sines of one position; [`reach`](Self::reach) was called for it.
    pub fn at(&self, position: usize) -> &[[f32; 2]] {
        let pairs = self.frequencies.len();
        &self.table[position * pairs..(position + 1) * pairs]
    }
}

fn scaled(config: &Config, pair: usize, frequency: f64) -> f64 {
    match config.scaling {
        Scaling::None => frequency,
        Scaling::Linear { factor } => frequency / factor,
        Scaling::Yarn { factor, original, beta_fast, beta_slow, .. } => {
            // The pair that turns `beta` times over the trained length.
            let pair_of = |beta: f64| {
                config.rope_dim as f64 * (original as f64 / (beta * 2.0 * PI)).ln() / (2.0 * config.rope_base.ln())
            };
            let low = pair_of(beta_fast).floor().max(0.0);
            let high = pair_of(beta_slow).ceil().min(config.rope_dim as f64 - 1.0);
            let kept = 1.0 - ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            frequency / factor * (1.0 - kept) + frequency * kept
        }
        Scaling::Llama3 { factor, low, high, original } => {
            let wavelength = 2.0 * PI / frequency;
            let (long, short) = (original as f64 / low, original as f64 / high);
            if wavelength < short {
                frequency
            } else if wavelength > long {
                frequency / factor
            } else {
                let smooth = (original as f64 / wavelength - low) / (high - low);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

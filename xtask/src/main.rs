//! Developer commands: synthetic models, conversion of small real weights, the inference benchmark. Nothing here ships.

fn main() {}

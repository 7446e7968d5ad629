//! Symbols and their fates, in any order that a path may report them.

use std::vec::Vec;

use super::*;
use crate::rng::Rng;

const SIZE: u16 = 8;
const LEN: u32 = 5 * BLOCK_SYMBOLS * SIZE as u32 + 3;

/// Sends everything that wants to be sent, and counts it.
fn drain(fragments: &mut Fragments, loss_ppm: u32) -> Vec<Symbol> {
    core::iter::from_fn(|| fragments.next(loss_ppm)).collect()
}

/// A smaller packet size cuts the message anew. The symbols of the old cut, which arrive meanwhile, have the numbers of
/// others now.
#[test]
fn what_becomes_of_an_older_cut_is_of_no_concern() {
    for cuts in 1..6 {
        let mut made = 0;
        let mut fragments = Fragments::new(LEN, 2 * SIZE, true, next_cut(&mut made));
        let mut old = Vec::new();
        for _ in 0..cuts {
            old = drain(&mut fragments, 0);
            assert!(old.len() > 2 * BLOCK_SYMBOLS as usize);
            fragments.recut(SIZE, next_cut(&mut made));
        }
        let mut symbols = drain(&mut fragments, 0);
        for (at, &symbol) in old.iter().enumerate() {
            let fate = [Fate::Acked, Fate::Lost, Fate::Late][at % 3];
            fragments.on_fate(Symbol::unpack(symbol.cut, symbol.pack()), fate);
        }
        let untouched = |block: &Block| (block.arrived, block.lost, block.in_flight) == (0, 0, BLOCK_SYMBOLS);
        assert!(fragments.open.iter().all(untouched), "after {cuts} cuts");
        let mut sent = 0;
        while !symbols.is_empty() {
            sent += symbols.len();
            for symbol in symbols {
                fragments.on_fate(symbol, Fate::Acked);
            }
            symbols = drain(&mut fragments, 0);
        }
        assert_eq!(sent, LEN.div_ceil(u32::from(SIZE)) as usize, "each once, after {cuts} cuts");
        assert_eq!(fragments.first, fragments.blocks());
    }
}

/// The estimate of loss wanders across all borders, symbols are lost, called lost and arrive all the same, are sent ahead of
/// news and as questions: what is under way is counted right, and every block ends.
#[test]
fn every_block_ends_whatever_becomes_of_its_symbols() {
    for seed in 0..200_u8 {
        let mut rng = Rng::fork(&[seed; 32], "fates");
        let mut fragments = Fragments::new(LEN, SIZE, seed % 4 != 0, 1);
        let mut open: Vec<Symbol> = Vec::new();
        let mut lost: Vec<Symbol> = Vec::new();
        let (mut loss_ppm, mut turns) = (0, 0);
        while fragments.first < fragments.blocks() {
            turns += 1;
            assert!(turns < 20_000, "seed {seed}: {} of {} blocks", fragments.first, fragments.blocks());
            // The second half of the time nothing is lost any more.
            let calm = turns > 10_000;
            if rng.below(50) == 0 {
                loss_ppm = [0, 900, 5_000, 11_000, 200_000, 900_000][rng.below(6) as usize];
            }
            for _ in 0..rng.below(40) {
                let now = Instant::from_micros(turns * 1_000);
                let sent = fragments.next(loss_ppm).or_else(|| {
                    fragments
                        .tail(now, loss_ppm, Duration::from_millis(5))
                        .or_else(|| (rng.below(9) == 0).then(|| fragments.probe()))
                });
                open.extend(sent);
            }
            for _ in 0..rng.below(40).min(open.len() as u64) {
                let symbol = open.swap_remove(rng.below(open.len() as u64) as usize);
                if !calm && rng.below(3) == 0 {
                    fragments.on_fate(symbol, Fate::Lost);
                    lost.push(symbol);
                } else {
                    fragments.on_fate(symbol, Fate::Acked);
                }
            }
            if !lost.is_empty() && rng.below(3) == 0 {
                let symbol = lost.swap_remove(rng.below(lost.len() as u64) as usize);
                fragments.on_fate(symbol, Fate::Late);
            }
            fragments.check(loss_ppm);
            let first = fragments.first;
            let under_way = |symbol: &&Symbol| u32::from(symbol.block) >= first;
            let counted: u32 = fragments.open.iter().map(|block| block.in_flight).sum();
            assert_eq!(counted as usize, open.iter().filter(under_way).count(), "seed {seed} turn {turns}");
        }
    }
}

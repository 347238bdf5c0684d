//! What a log asks of a witness and what it answers, as C2SP tlog-witness writes it (add-checkpoint): carried over HTTP
//! or by hand as files alike.

use super::WitnessError;
use crate::checkpoint::{SignedCheckpoint, decimal};
use crate::tree::{Hash, MAX_SIZE};
use std::fmt;
use std::str::FromStr;

/// Most hashes of a consistency proof.
const MAX_PROOF: usize = 63;
/// Content type of the answer that says how far the witness is.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// A checkpoint to be cosigned, with the proof that it continues the one that the witness cosigned last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness is believed to have cosigned last; 0 before the first.
    pub old_size: u64,
    /// Consistency proof from there ([`crate::tree::consistency_plan`]); empty from 0.
    pub proof: Vec<Hash>,
    pub checkpoint: SignedCheckpoint,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = WitnessError;

    fn from_str(text: &str) -> Result<Self, WitnessError> {
        let (head, note) = text.split_once("\n\n").ok_or(WitnessError::Malformed)?;
        let mut lines = head.split('\n');
        let old_size =
            lines.next().and_then(|line| decimal(line.strip_prefix("old ")?)).ok_or(WitnessError::Malformed)?;
        let proof: Vec<Hash> = lines.map(Hash::from_base64).collect::<Option<_>>().ok_or(WitnessError::Malformed)?;
        if proof.len() > MAX_PROOF {
            return Err(WitnessError::Malformed);
        }
        let checkpoint = note.parse().map_err(|_| WitnessError::Malformed)?;
        Ok(AddCheckpoint { old_size, proof, checkpoint })
    }
}

/// How far the witness is, from the body of its answer 409.
pub fn parse_conflict(body: &str) -> Option<u64> {
    body.strip_suffix('\n').and_then(decimal).filter(|&size| size <= MAX_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of C2SP tlog-witness.
    const EXAMPLE: &str = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written_alike() {
        let request: AddCheckpoint = EXAMPLE.parse().unwrap();
        assert_eq!((request.old_size, request.proof.len()), (20_852_014, 4));
        assert_eq!(request.checkpoint.checkpoint().size, 20_852_163);
        assert_eq!(request.to_string(), EXAMPLE);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            EXAMPLE.replace("old 20852014", "old 020852014"),
            EXAMPLE.replace("old 20852014", "old -1"),
            EXAMPLE.replace("old ", "new "),
            EXAMPLE.replacen("PlRN", "PlR", 1),
            EXAMPLE.replacen("\n\n", "\n", 1),
            EXAMPLE.replace('\n', "\r\n"),
            EXAMPLE.trim_end().into(),
            EXAMPLE.replacen(
                "old 20852014\n",
                &format!("old 1\n{}", "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n".repeat(60)),
                1,
            ),
            String::new(),
        ] {
            assert_eq!(bad.parse::<AddCheckpoint>(), Err(WitnessError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_conflict_says_a_size() {
        assert_eq!(parse_conflict("20852014\n"), Some(20_852_014));
        for bad in ["", "1", "01\n", "1\n\n", "-1\n", "9223372036854775808\n"] {
            assert_eq!(parse_conflict(bad), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(at in any::<prop::sample::Index>(), with in "\\PC|\n") {
            let mut text: Vec<char> = EXAMPLE.chars().collect();
            let i = at.index(text.len());
            text.splice(i..=i, with.chars());
            let text: String = text.into_iter().collect();
            if let Ok(read) = text.parse::<AddCheckpoint>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}

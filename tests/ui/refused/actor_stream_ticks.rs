use mobula::prelude::*;

struct Log;

#[remote]
impl Log {
    pub fn new() -> Self {
        Self
    }
    pub fn len(&self) -> u64 {
        0
    }
    #[remote(stream, every = "1s")]
    pub fn lines(&self) -> impl Iterator<Item = String> {
        std::iter::empty()
    }
}

fn main() {
    let log = Log::remote();
    let _ = log.len();
}

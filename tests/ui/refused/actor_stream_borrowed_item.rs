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
    #[remote(stream)]
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

fn main() {
    let log = Log::remote();
    let _ = log.len();
}

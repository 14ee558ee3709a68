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
    #[remote(max_unread = 3)]
    pub fn lines(&self) -> u64 {
        1
    }
}

fn main() {
    let log = Log::remote();
    let _ = log.len();
}

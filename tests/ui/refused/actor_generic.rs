use mobula::remote;

struct Stats<T>(Vec<T>);

#[remote]
impl<T: Send + 'static> Stats<T> {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn main() {
    Stats::<u8>::new().len();
}

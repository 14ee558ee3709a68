use mobula::remote;

struct Ray;

impl Ray {
    #[remote]
    fn swim(&self) {}
}

fn main() {
    Ray.swim();
}

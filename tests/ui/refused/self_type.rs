use mobula::remote;

struct Ray;

impl Ray {
    #[remote]
    fn hatch(eggs: u8) -> Vec<Self> {
        (0..eggs).map(|_| Ray).collect()
    }
}

fn main() {
    Ray::hatch(2);
}

//! Streams that are elsewhere: in a worker, those that the driver has for it.
//!
//! To the worker such a stream is an object of the driver's, to which it has a ref; its value says no more than that the
//! stream is lent, as a handle of an actor is. What is done with the stream goes to the driver as a call does, under the
//! name of what produces it: first a [`Wish`], and for all but the first the object. To ask for the next item is a call
//! like others, so who waits for that lays its CPU down, and a deadlock is found. What comes of it is the item's id; the
//! value comes when somebody asks.
//!
//! | the reader                | in the driver                                                      |
//! |---------------------------|--------------------------------------------------------------------|
//! | reads                     | the call is complete when an item is there, or the producer's end  |
//! | cancels, drops the stream | does the same to the stream that the object is                     |
//! | dies with its worker      | the object goes with what that was lent, and the stream with it    |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{End, ObjectStream};
use crate::api::crossing;
use crate::api::port::Way;
use crate::cluster::argument::{Asked, Forwarded, ForwardedArgument, Packing, unfit};
use crate::cluster::registry::Registered;
use crate::cluster::upstream::{self, Upstream};
use crate::cluster::{self, Answer, coder};
use crate::error::{Error, Failed, Result};
use crate::function::{Call, Hop};
use crate::local::actors::{self, Identity};
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::cell::{AnyRef, Promise, Ref};
use crate::local::place::Place;
use crate::local::stream::{Next, Shared};
use crate::local::{current, default};
use crate::wire;

/// What a worker asks of the driver that concerns a stream.
#[derive(Serialize, Deserialize)]
enum Wish {
    /// Call what produces it, with the further arguments.
    Begin { max_unread: Option<usize> },
    /// Do this to the stream that the further argument is.
    To(Deed),
}

#[derive(Serialize, Deserialize)]
enum Deed {
    /// Tell of the next item.
    Next,
    Cancel,
    /// Nobody reads it any more.
    Drop,
}

/// Where the wishes go that concern one stream.
pub(crate) struct To<T> {
    pub(crate) upstream: &'static dyn Upstream,
    pub(crate) registered: &'static Registered,
    /// How its items cross.
    pub(crate) way: Way<T>,
    pub(crate) call: Call,
}

impl<T: Send + Sync + 'static> To<T> {
    /// `read` reads what comes of it.
    fn ask<R: Send + Sync + 'static>(
        &self,
        wish: &Wish,
        further: impl Fn(&mut Packing<'_>) -> Result<()>,
        options: Option<Asked>,
        place: &Place,
        read: impl FnOnce(Answer<'_>) -> Result<R> + Send + 'static,
    ) -> Result<Ref<R>> {
        let pack = |packing: &mut Packing<'_>| {
            packing.value(wish)?;
            further(packing)
        };
        let Self { upstream, registered, call, .. } = *self;
        crossing::send_with(upstream, registered, pack, read, options, call, place, None)
    }

    /// Reads what is told of the next item. A ref is made of it at once, which nobody may want any more.
    fn read_told(&self) -> impl FnOnce(Answer<'_>) -> Result<Option<Ref<T>>> + Send + 'static {
        let Self { upstream, way, call, .. } = *self;
        move |answer| {
            let told = crossing::read(answer, Way::<Told>::new())?;
            Ok(told.map(|item| match item {
                Ok(id) => crossing::import_new(upstream, id, way, call),
                Err(failed) => Ref::complete(Err(cluster::error_of(*failed)), call),
            }))
        }
    }
}

/// Has the driver begin a stream; `pack` packs the arguments of what produces it.
///
/// # Errors
/// Those of packing.
pub(crate) fn begin<T: Send + Sync + 'static>(
    to: To<T>,
    max_unread: Option<usize>,
    options: Option<Asked>,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
) -> Result<ObjectStream<T>> {
    let place = default::with_current(current::next_place);
    let read = |answer: Answer<'_>| crossing::read(answer, Way::<Leased>::new());
    let lent = to.ask(&Wish::Begin { max_unread }, pack, options, &place, read)?;
    Ok(ObjectStream::of(End::Far(Far { to, lent: lent.into_any(), asked: None, ended: false })))
}

/// The reader's end of a stream that the driver has.
pub(crate) struct Far<T: Send + Sync + 'static> {
    to: To<T>,
    lent: AnyRef,
    /// What was asked for and has not been taken: None, there is no more.
    asked: Option<Ref<Option<Ref<T>>>>,
    ended: bool,
}

impl<T: Send + Sync + 'static> Far<T> {
    pub(super) fn any(&self) -> &AnyRef {
        &self.lent
    }

    fn wish<R: Send + Sync + 'static>(
        &self,
        deed: Deed,
        read: impl FnOnce(Answer<'_>) -> Result<R> + Send + 'static,
    ) -> Result<Ref<R>> {
        let leased = self.leased()?;
        let further = |packing: &mut Packing<'_>| match &leased {
            Some(leased) => packing.value(&leased.id),
            None => packing.object(&self.lent),
        };
        self.to.ask(&Wish::To(deed), further, None, &Place::ROOT, read)
    }

    /// How a cluster's program names the stream, once it is told: what it says in passing needs no ref of the cluster's.
    fn leased(&self) -> Result<Option<Arc<Leased>>> {
        if !cluster::is_over_bridge() || !self.lent.is_complete() {
            return Ok(None);
        }
        Ref::<Leased>::from_any(self.lent.clone()).map(|lent| lent.share()).transpose()
    }

    /// If it cannot be told, the driver is gone, and so is this process, soon.
    fn tell(&self, deed: Deed) {
        drop(self.wish(deed, |answer| crossing::read(answer, Way::<()>::new())));
    }

    pub(super) fn next(&mut self) -> Next<T> {
        if self.ended {
            return Next::End;
        }
        if cluster::is_over_bridge() && !self.lent.is_complete() {
            return Next::Later(self.lent.clone());
        }
        let asked = self.asked.take();
        let asked = asked.map_or_else(|| self.wish(Deed::Next, self.to.read_told()), Ok);
        let asked = match asked {
            Ok(asked) => asked,
            Err(why) => return self.break_off(why),
        };
        if !asked.any().is_complete() {
            let later = asked.any().clone();
            self.asked = Some(asked);
            return Next::Later(later);
        }
        match asked.into_owned() {
            Ok(Some(item)) => Next::Item(item),
            Ok(None) => {
                self.ended = true;
                Next::End
            }
            Err(why) => self.break_off(why),
        }
    }

    /// It cannot be read any further.
    fn break_off(&mut self, why: Error) -> Next<T> {
        self.tell(Deed::Drop);
        self.ended = true;
        Next::Item(Ref::complete(Err(why.through(self.to.call)), self.to.call))
    }

    pub(super) fn cancel(&self) {
        self.tell(Deed::Cancel);
    }
}

impl<T: Send + Sync + 'static> Drop for Far<T> {
    fn drop(&mut self) {
        // Otherwise the driver would hear of it later, with what this process says next, or from the cluster.
        if !self.ended {
            self.tell(Deed::Drop);
        }
    }
}

/// What is told of the next item: its id, or why there is none in its place. None: there is no more.
type Told = Option<std::result::Result<Uuid, Box<Failed>>>;

/// In the driver: what a stream yields next, which is told. A failure goes along, for it has no value to be asked for.
struct Yielded<T>(Option<Ref<T>>);

impl<T: Send + Sync + 'static> Serialize for Yielded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let told: Told = self.0.as_ref().map(|item| match item.any().failure() {
            Some(error) => Err(Box::new(Failed::from(&error))),
            None => {
                let id = coder::id_of(item.any());
                wire::hold(id, || item.any().clone());
                Ok(id)
            }
        });
        told.serialize(serializer)
    }
}

/// In a worker: that the driver has a stream for it, by that id.
struct Leased {
    upstream: &'static dyn Upstream,
    id: Uuid,
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.upstream.let_go_once(self.id);
    }
}

impl Serialize for Leased {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.id.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Leased {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let id = Uuid::deserialize(deserializer)?;
        let to_driver = || serde::de::Error::custom("a stream was lent to no worker");
        let upstream = upstream::to_owner().ok_or_else(to_driver)?;
        upstream.take_once(id);
        Ok(Self { upstream, id })
    }
}

/// In the driver: a stream that a worker has, until it has dropped it.
struct Lent<T: Send + Sync + 'static> {
    identity: Identity,
    stream: Mutex<Option<ObjectStream<T>>>,
}

/// A hold on it. As the answer to a program on a cluster it is lent as handles of actors are.
struct Lease<T: Send + Sync + 'static>(Arc<Lent<T>>);

impl<T: Send + Sync + 'static> Lease<T> {
    fn new(stream: ObjectStream<T>) -> Self {
        let (identity, stream) = (Identity::default(), Mutex::new(Some(stream)));
        Self(Arc::new(Lent { identity, stream }))
    }

    fn id(&self) -> Uuid {
        self.0.identity.findable(|| Arc::downgrade(&self.0))
    }

    /// What a worker means by this argument.
    fn of(argument: &ForwardedArgument) -> Result<Arc<Lent<T>>> {
        let lent = match argument {
            ForwardedArgument::Object(any) => match Ref::<Self>::from_any(any.clone()) {
                Some(lease) => Some(Arc::clone(&lease.share()?.0)),
                None => None,
            },
            ForwardedArgument::Value(bytes) => {
                actors::find(wire::decode(bytes)?, Weak::<Lent<T>>::upgrade)
            }
            ForwardedArgument::List(_) => None,
        };
        lent.ok_or_else(|| unfit("what is no stream"))
    }
}

impl<T: Send + Sync + 'static> Serialize for Lease<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let id = self.id();
        wire::hold(id, || Self(Arc::clone(&self.0)));
        id.serialize(serializer)
    }
}

impl<T: Send + Sync + 'static> Lent<T> {
    fn lock(&self) -> MutexGuard<'_, Option<ObjectStream<T>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is next, as a call that is complete when that is known.
    fn next(&self, way: Way<T>, call: Call) -> Ref<Yielded<T>> {
        let (asked, promise) = Ref::<Yielded<T>>::promise(call, 0);
        coder::note::<Yielded<T>>(asked.any());
        let ends = match &*self.lock() {
            Some(ObjectStream { end: End::Here(inlet), .. }) => {
                Some((Arc::clone(&inlet.shared), inlet.task.clone()))
            }
            _ => None,
        };
        match ends {
            Some((shared, task)) => {
                // So that whoever asks why this is pending, or cancels it, finds the producer.
                let _ = asked.any().extra().producers.set(Box::new([task.clone()]));
                tell_next(shared, task, way, promise);
            }
            None => promise.complete(Ok(Yielded(None))),
        }
        asked
    }

    fn cancel(&self) {
        if let Some(stream) = &*self.lock() {
            stream.cancel();
        }
    }

    fn drop_stream(&self) {
        let stream = self.lock().take();
        drop(stream);
    }
}

/// Tells what `task` yields next, when it has.
fn tell_next<T: Send + Sync + 'static>(
    shared: Arc<Shared<T>>,
    task: AnyRef,
    way: Way<T>,
    promise: Promise<Yielded<T>>,
) {
    match shared.next_of(&task) {
        Next::Item(item) => {
            (way.note)(item.any());
            promise.complete(Ok(Yielded(Some(item))));
        }
        Next::End => promise.complete(Ok(Yielded(None))),
        Next::Later(later) => {
            let mut awaited = Refs::default();
            awaited.add(&later);
            let go_on = move || match later.is_failed() {
                // Somebody else asks by now: who asks twice is told once.
                true => promise.complete(Ok(Yielded(None))),
                false => tell_next(shared, task, way, promise),
            };
            Awaited::when_ready(awaited, Then::Run(None, Box::new(go_on)));
        }
    }
}

/// In the driver: does what a worker asks for; `begin` begins a stream.
pub(crate) fn serve<T: Send + Sync + 'static>(
    mut forwarded: Forwarded,
    way: Way<T>,
    call: Call,
    begin: impl FnOnce(Forwarded, Option<usize>) -> Result<ObjectStream<T>>,
) -> AnyRef {
    let id = forwarded.id;
    let answer = match ForwardedArgument::take_first(&mut forwarded.arguments) {
        Ok(Wish::Begin { max_unread }) => {
            let hop = Hop::from(call).at(Some(&forwarded.stands_at));
            let begun = begin(forwarded, max_unread);
            let stream = begun.unwrap_or_else(|why| ObjectStream::failed_at(why, call, hop));
            let lease = Ref::complete(Ok(Lease::new(stream)), call);
            coder::note::<Lease<T>>(lease.any());
            lease.into_any()
        }
        Ok(Wish::To(deed)) => answer(&deed, &forwarded.arguments, way, call),
        Err(why) => Ref::<()>::complete(Err(why), call).into_any(),
    };
    coder::named(&answer, id);
    answer
}

/// Does with a stream what is done with one that has begun.
fn answer<T: Send + Sync + 'static>(
    deed: &Deed,
    arguments: &[ForwardedArgument],
    way: Way<T>,
    call: Call,
) -> AnyRef {
    let argument = arguments.first().ok_or_else(|| unfit("no stream"));
    let lent = match argument.and_then(Lease::<T>::of) {
        Ok(lent) => lent,
        Err(why) => return Ref::<()>::complete(Err(why), call).into_any(),
    };
    match deed {
        Deed::Next => return lent.next(way, call).into_any(),
        Deed::Cancel => lent.cancel(),
        Deed::Drop => lent.drop_stream(),
    }
    let done = Ref::complete(Ok(()), call);
    coder::note::<()>(done.any());
    done.into_any()
}

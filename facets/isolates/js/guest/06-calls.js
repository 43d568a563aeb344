// One isolate's calls: messages in, turns, messages out. `session.py` has the table of messages.
//
// `pump` queues what the inbox asks for and takes the first turn; the driver then runs all jobs
// and calls `next`, which takes the following turn, until there is none and it returns the outbox.
let target = null;
let longest = 1 << 24;
let out = "";
let outBlob = new Blob(true);
let now = 0;
const calls = new Table();
let turns = list();
let taken = 0;

let cancelling = 0; // calls that were cancelled and are not over

class Call {
  constructor(id) {
    this.id = id;
    this.open = true;
    this.cancelled = null;
    this.credit = 1;
    this.items = null;
    this.busy = false;
    mapSet(calls, id, this);
  }
}
class Turn {
  constructor(call, work, skipped) {
    this.call = call;
    this.work = work;
    this.skipped = skipped;
  }
}

const emit = (text) => { out += out ? "," + text : text; };
// A turn for this call; `skipped` is called in its place if the call is cancelled before.
const schedule = (call, work, skipped = null) => {
  turns[turns.length++] = new Turn(call, work, skipped);
};

const pump = (inbox) => {
  const messages = receive(inbox);
  now = messages[0];
  for (let i = 1; i < messages.length; i++) take(messages[i]);
  if (heap.length) dueTimers();
  return taken < turns.length ? next() : undefined; // jobs may be left from the last time
};

const next = () => {
  while (taken < turns.length) {
    const one = turns[taken];
    turns[taken++] = null;
    const skip = cancelling > 0 && cancelled(one.call);
    if (skip && one.skipped === null) continue;
    turn = one.call;
    step += 1;
    try {
      skip ? one.skipped() : one.work();
    } catch (error) {
      uncaught(error);
    }
    return undefined;
  }
  turns.length = taken = 0;
  if (answer !== undefined) return booted();
  if (cancelling > 0) abandon();
  return outbox();
};

// There are jobs without end: the host has its turn, so that a cancellation gets in.
const again = () => {
  if (answer !== undefined) return undefined;
  emit('["again"]');
  return outbox();
};

const outbox = () => {
  if (heap.length) {
    const due = nextDue();
    if (due !== null) emit('["sleep",' + due + "]");
  }
  flushOutput();
  if (dropped) emitDropped();
  const text = "[" + out + "]", blob = outBlob;
  out = "";
  blob.given.length = 0; // it is on its way
  if (!blob.text) return text;
  outBlob = new Blob(true);
  return text + "\n" + blob.text;
};

const cancelled = (id) => {
  const call = mapGet(calls, id);
  return call !== undefined && call.cancelled !== null;
};

const take = (message) => {
  switch (message[0]) {
    case "call": {
      const args = lift(message[3]), named_ = lift(message[4]);
      if (keys(named_).length) args[args.length] = named_;
      const call = new Call(message[1]);
      return schedule(call.id, () => start(call, message[2], args));
    }
    case "more": return more(message[1], message[2]);
    case "cancel": return cancel(message[1], message[2]);
    case "ans": case "err": case "item": case "end":
      return answered(message[0], message[1], lift(message[2]));
    case "revoke": return revoked(message[1]);
    case "drop":
      for (let i = 0; i < message[1].length; i++) letGo(message[1][i][0], message[1][i][1]);
      return;
  }
};

// -- calls -----------------------------------------------------------------------------------------

const start = (call, method, args) => {
  try {
    if (isArray(method) && method.length === 3) {
      return (method[0] === "timer" ? deliver : keyed)(call, method[1], method[2], args);
    }
    const exported = isArray(method);
    const result = exported ? callExport(method, args) : target.call(method, args);
    if ((exported ? exportKind(method) : target.kind(method)) === "stream") {
      call.items = result;
      produce(call);
    } else {
      settled(result, (value) => succeed(call, value), (error) => fail(call, error));
    }
  } catch (error) {
    fail(call, error);
  }
};

// A delivery of a timer, private methods too: its last step says that it is done.
const deliver = (call, timer, method, args) => settled(target.call(method, args, true), () => {
  try {
    if (call.open) operate("timers", '"done",[' + timer + "],{}");
    succeed(call, null);
  } catch (error) {
    fail(call, error);
  }
}, (error) => fail(call, error));

// A call with a key: its last step says what came of it.
const keyed = (call, number, method, args) => settled(target.call(method, args), (value) => {
  try {
    if (call.open) {
      const blob = new Blob();
      operate("outcome", number + ",false," + stored(value, blob, "result"), blob);
    }
    succeed(call, value);
  } catch (error) {
    failKeyed(call, number, error);
  }
}, (error) => failKeyed(call, number, error));

const failKeyed = (call, number, error) => {
  if (!call.open) return;
  const stopped = call.cancelled !== null;
  fail(call, error);
  if (stopped) return; // that says nothing of the method
  try {
    operate("outcome", number + ",true," + describe(error));
  } catch {
    // There is no room for it: the next call with that key runs.
  }
};

const native = (value) => promise((done) => done(value));
// Not by resolving a promise with it, where it is one: that would ask for its `then`.
const settled = (value, ok, failed) => {
  try {
    promiseThen(value, ok, failed);
  } catch {
    promiseThen(native(value), ok, failed);
  }
};

const succeed = (call, value) => {
  if (!call.open) return;
  try {
    if (value === undefined || value === null) emit('["ok",' + call.id + ",null]");
    else say("ok", call, value, "result");
  } catch (error) {
    return fail(call, error);
  }
  close(call);
};

const close = (call) => {
  call.open = false;
  if (call.cancelled !== null) cancelling -= 1;
  mapDelete(calls, call.id);
  step += 1; // what it wrote is no longer undone by others
};

const fail = (call, error) => {
  if (!call.open) return;
  const others = undo();
  emit('["err",' + call.id + "," + describe(error) + "]");
  close(call);
  for (let i = 0; i < others.length; i++) {
    const other = mapGet(calls, others[i]);
    if (other) {
      emit('["err",' + other.id + "," + describe(new StorageError(
        "its step was undone with that of a call which it had woken and which failed")) + "]");
      close(other);
    }
  }
};

const say = (tag, call, value, what) => {
  const text = outBlob.text, size = outBlob.size, known = outBlob.given.length;
  const header = dump(value, outBlob, what);
  const long = header.length + outBlob.text.length - text.length;
  if (long > longest) return emit('["long",' + long + "]");
  try {
    reserve(out.length + outBlob.text.length + header.length);
    emit('["' + tag + '",' + call.id + "," + header + "]");
  } catch (error) {
    outBlob.text = text;
    outBlob.size = size;
    takeBack(outBlob, known);
    throw error;
  }
};

// -- streams ---------------------------------------------------------------------------------------

// Run the generator on for each item that was asked for, and no further.
const produce = (call) => {
  if (call.busy || call.credit <= 0) return;
  call.busy = true;
  call.credit -= 1;
  promiseThen(generatorNext(call.items), (result) => {
    call.busy = false;
    if (!call.open) return;
    if (result.done) {
      emit('["end",' + call.id + "]");
      return close(call);
    }
    try {
      say("item", call, result.value, "item");
      step += 1; // an item leaves: what was written before it is committed
    } catch (error) {
      return fail(call, error);
    }
    if (call.credit > 0) schedule(call.id, () => produce(call));
  }, (error) => fail(call, error));
};

const more = (id, count) => {
  const call = mapGet(calls, id);
  if (!call) return;
  call.credit += count;
  if (!call.busy) schedule(id, () => produce(call));
};

// -- cancelling ------------------------------------------------------------------------------------

// What waits for the host, of every call: rejected when the call is cancelled.
const waits = new Table();
let waited = 0;
const wait = (begin, cancel = null) => promise((done, failed) => {
  const key = ++waited;
  mapSet(waits, key, { __proto__: null, call: turn, failed, cancel });
  begin((value) => { mapDelete(waits, key); done(value); },
    (error) => { mapDelete(waits, key); failed(error); });
});

const cancel = (id, why) => {
  const call = mapGet(calls, id);
  if (!call || call.cancelled !== null) return;
  call.cancelled = why;
  cancelling += 1;
  schedule(0, () => {
    turn = id;
    dropTimers(id);
    const mine = list();
    mapEach(waits, (one, key) => { if (one.call === id) add(mine, key); });
    for (let i = 0; i < mine.length; i++) {
      const one = mapGet(waits, mine[i]);
      mapDelete(waits, mine[i]);
      if (one.cancel !== null) one.cancel();
      one.failed(new Cancelled(call.cancelled));
    }
    for (let i = 0; i < entering.length; i++) {
      const one = entering[i];
      if (one !== null && one.call === id) {
        entering[i] = null;
        one.failed(new Cancelled(call.cancelled));
      }
    }
    if (call.items !== null) {
      promiseThen(generatorReturn(call.items), () => {
        if (call.open) {
          emit('["end",' + id + "]");
          close(call);
        }
      }, (error) => fail(call, error));
    }
  });
};

// Nothing is ready any more: calls that were cancelled and still wait, wait for nothing that
// would ever come.
const abandon = () => {
  const left = list();
  mapEach(calls, (call) => { if (call.cancelled !== null) add(left, call); });
  for (let i = 0; i < left.length; i++) fail(left[i], new Cancelled(left[i].cancelled));
};

// -- timers: a heap by time, then by number --------------------------------------------------------

const heap = list();
const timers = new Table();
let timed = 0;

const before = (a, b) => (a.due === b.due ? a.id < b.id : a.due < b.due);
const swap = (i, j) => { const x = heap[i]; heap[i] = heap[j]; heap[j] = x; };
const arm = (timer) => {
  mapSet(timers, timer.id, timer);
  add(heap, timer);
  for (let i = heap.length - 1; i > 0;) {
    const up = (i - 1) >> 1;
    if (!before(heap[i], heap[up])) break;
    swap(i, up);
    i = up;
  }
};
const popTimer = () => {
  const first = heap[0];
  heap.length -= 1;
  heap[0] = heap[heap.length];
  heap[heap.length] = undefined;
  for (let i = 0;;) {
    let least = i;
    for (let child = 2 * i + 1; child <= 2 * i + 2; child++) {
      if (child < heap.length && before(heap[child], heap[least])) least = child;
    }
    if (least === i) return first;
    swap(i, least);
    i = least;
  }
};
const alive = (timer) => mapGet(timers, timer.id) === timer;
const nextDue = () => {
  while (heap.length && !alive(heap[0])) popTimer();
  return heap.length ? heap[0].due : null;
};
const dueTimers = () => {
  for (;;) {
    const due = nextDue();
    if (due === null || due > now) return;
    const timer = popTimer();
    if (timer.every === null) mapDelete(timers, timer.id);
    schedule(timer.call, () => {
      if (timer.every !== null && alive(timer)) {
        timer.due = now + timer.every;
        arm(timer);
      }
      timer.work();
    });
  }
};
const dropTimers = (id) => {
  const mine = list();
  mapEach(timers, (timer) => { if (timer.call === id) add(mine, timer.id); });
  for (let i = 0; i < mine.length; i++) mapDelete(timers, mine[i]);
};
const addTimer = (work, milliseconds, every) => {
  const seconds = max(0, +milliseconds || 0) / 1000;
  const timer = { __proto__: null, id: ++timed, call: turn, due: now + seconds,
    every: every ? max(seconds, 0.001) : null, work };
  arm(timer);
  return timer.id;
};

// Wait for so many milliseconds by the host's clock.
const sleep = (milliseconds) => wait((done) => addTimer(() => done(), milliseconds, false));

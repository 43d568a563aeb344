// What the runtime uses of the language, kept before any tool runs: a tool may change the
// global objects and their prototypes, and changes nothing here.
const { apply, construct, defineProperty, getOwnPropertyDescriptor, getPrototypeOf, ownKeys } =
  Reflect;
const { freeze, keys, create, is } = Object;
const uncurry = Function.prototype.bind.bind(Function.prototype.call);
const isArray = Array.isArray;
const parse = JSON.parse;
const stringify = JSON.stringify;
const fromCharCode = String.fromCharCode;
const { floor, min, max } = Math;
const isFinite_ = Number.isFinite;
const parseInt_ = Number.parseInt;
const Int = BigInt;
const Text = String;
const Fault = Error;
const WrongType = TypeError;
const Bytes = Uint8Array;
const Buffer_ = ArrayBuffer;
const Moment = Date;
const Table = Map;
const Group = Set;
const Later = Promise;
const encode64 = uncurry(Bytes.prototype.toBase64);
const decode64 = Bytes.fromBase64;
const fromBase64 = (text) => apply(decode64, Bytes, [text]);
const toLatin = atob;
const fromLatin = btoa;
const isView = ArrayBuffer.isView;
const bufferOf = uncurry(getOwnPropertyDescriptor(getPrototypeOf(Bytes.prototype), "buffer").get);
const offsetOf = uncurry(
  getOwnPropertyDescriptor(getPrototypeOf(Bytes.prototype), "byteOffset").get);
const sizeOf = uncurry(getOwnPropertyDescriptor(getPrototypeOf(Bytes.prototype), "byteLength").get);
const bufferSize = uncurry(getOwnPropertyDescriptor(Buffer_.prototype, "byteLength").get);
const hasOwn = Object.hasOwn;
const slice = uncurry(String.prototype.slice);
const codeAt = uncurry(String.prototype.charCodeAt);
const indexOf = uncurry(String.prototype.indexOf);
const lastIndexOf = uncurry(String.prototype.lastIndexOf);
const startsWith = uncurry(String.prototype.startsWith);
const endsWith = uncurry(String.prototype.endsWith);
const wellFormed = uncurry(String.prototype.toWellFormed);
const isWellFormed = uncurry(String.prototype.isWellFormed);
const lower = uncurry(String.prototype.toLowerCase);
const matches = uncurry(RegExp.prototype.exec);
const hex = uncurry(Int.prototype.toString);
const mapGet = uncurry(Table.prototype.get);
const mapSet = uncurry(Table.prototype.set);
const mapHas = uncurry(Table.prototype.has);
const mapDelete = uncurry(Table.prototype.delete);
const mapSize = uncurry(getOwnPropertyDescriptor(Table.prototype, "size").get);
const mapEach = uncurry(Table.prototype.forEach);
const setAdd = uncurry(Group.prototype.add);
const setHas = uncurry(Group.prototype.has);
const setEach = uncurry(Group.prototype.forEach);
const timeOf = uncurry(Moment.prototype.getTime);
const iso = uncurry(Moment.prototype.toISOString);
const promiseThen = uncurry(Later.prototype.then);
const AsyncFunction = (async () => {}).constructor.prototype;
const AsyncGeneratorFunction = (async function* () {}).constructor.prototype;
const AsyncGenerator = AsyncGeneratorFunction.prototype;
const generatorNext = uncurry(AsyncGenerator.next);
const generatorReturn = uncurry(AsyncGenerator.return);

// A list whose prototype nobody can put a setter on.
const list = () => ({ __proto__: null, length: 0 });
const add = (to, item) => { to[to.length] = item; to.length += 1; };
const promise = (work) => new Later(work);
const isObject = (v) => typeof v === "object" && v !== null;
const hide = (target, name, value) =>
  defineProperty(target, name, { __proto__: null, value, writable: true, configurable: true });

/**
 * BuildKit's build events as the Docker API sends them: `{"id": "moby.buildkit.trace", "aux": "<base64>"}`, a protobuf
 * message StatusResponse. Only what is shown is decoded.
 * https://github.com/moby/buildkit/blob/v0.20.0/api/services/control/control.proto
 */
export interface BuildStatus {
  readonly vertexes: readonly Vertex[];
  readonly logs: readonly VertexLog[];
}

/** A step of the build graph; sent again whenever its state changes. */
export interface Vertex {
  readonly digest: string;
  /** `[build 2/4] RUN go build`, `[internal] load metadata for ...`. */
  readonly name: string;
  readonly cached: boolean;
  readonly startedMs: number | undefined;
  readonly completedMs: number | undefined;
  /** Empty where nothing failed. */
  readonly error: string;
}

/** A piece of what a step's process wrote: not necessarily whole lines. */
interface VertexLog {
  /** The digest of its vertex. */
  readonly vertex: string;
  readonly text: Buffer;
}

/** @throws RangeError when `aux` is no StatusResponse */
export function decodeBuildStatus(aux: string): BuildStatus {
  const vertexes: Vertex[] = [];
  const logs: VertexLog[] = [];
  for (const [field, value] of fields(Buffer.from(aux, 'base64'))) {
    if (field === 1 && Buffer.isBuffer(value)) vertexes.push(decodeVertex(value));
    if (field === 3 && Buffer.isBuffer(value)) logs.push(decodeLog(value));
  }
  return { vertexes, logs };
}

function decodeVertex(message: Buffer): Vertex {
  const values = new Map(fields(message));
  const text = (field: number): string => values.get(field)?.toString() ?? '';
  const time = (field: number): number | undefined => {
    const value = values.get(field);
    return Buffer.isBuffer(value) ? decodeTimestamp(value) : undefined;
  };
  return {
    digest: text(1),
    name: text(3),
    cached: values.get(4) === 1n,
    startedMs: time(5),
    completedMs: time(6),
    error: text(7),
  };
}

function decodeLog(message: Buffer): VertexLog {
  const values = new Map(fields(message));
  const text = values.get(4);
  return { vertex: values.get(1)?.toString() ?? '', text: Buffer.isBuffer(text) ? text : Buffer.alloc(0) };
}

/** google.protobuf.Timestamp: seconds = 1, nanos = 2. */
function decodeTimestamp(message: Buffer): number {
  const values = new Map(fields(message));
  return Number(values.get(1) ?? 0n) * 1000 + Number(values.get(2) ?? 0n) / 1e6;
}

/** The wire format: https://protobuf.dev/programming-guides/encoding/ (groups, long out of use, are refused). */
function* fields(message: Buffer): Generator<[field: number, value: bigint | Buffer]> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const bytes = (length: number): Buffer => {
    if (at + length > message.length) throw new RangeError('A protobuf message ends too early.');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = varint();
    const field = Number(tag >> 3n);
    const wireType = Number(tag & 7n);
    if (wireType === 0) yield [field, varint()];
    else if (wireType === 1) yield [field, bytes(8)];
    else if (wireType === 2) yield [field, bytes(Number(varint()))];
    else if (wireType === 5) yield [field, bytes(4)];
    else throw new RangeError(`A protobuf message has wire type ${wireType}.`);
  }
}

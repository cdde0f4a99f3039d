import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Takes one piece of output; resolves when it may be given the next. */
export type Sink = (piece: Buffer) => Promise<void>;

/**
 * Takes an attached container's output apart: frames of an 8-byte header (stream, three zeros, length as uint32 BE) and data.
 * Resolves at the end of the stream. Waits for a slow reader, so that a program that writes without end fills no memory
 * (dockerode's demuxStream doesn't wait).
 * https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
 */
export async function demultiplex(attached: AsyncIterable<Buffer>, stdout: Sink, stderr: Sink): Promise<void> {
  let header = Buffer.alloc(0);
  let left = 0;
  let output = stdout;
  for await (let chunk of attached) {
    while (chunk.length > 0) {
      if (left > 0) {
        const piece = chunk.subarray(0, left);
        left -= piece.length;
        chunk = chunk.subarray(piece.length);
        await output(piece);
        continue;
      }
      const missing = 8 - header.length;
      header = Buffer.concat([header, chunk.subarray(0, missing)]);
      chunk = chunk.subarray(missing);
      if (header.length < 8) continue;
      output = header[0] === 2 ? stderr : stdout;
      left = header.readUInt32BE(4);
      header = Buffer.alloc(0);
    }
  }
}

/** With a terminal there is one stream and no framing. */
export async function copyRaw(attached: AsyncIterable<Buffer>, stdout: Sink): Promise<void> {
  for await (const chunk of attached) await stdout(chunk);
}

/** A reader that has gone away (`| head -1`) is not the program's fault: what it no longer takes is dropped. */
export function sinkOf(output: Writable): Sink {
  return async (piece) => {
    if (!output.writable || output.write(piece)) return;
    const gone = new AbortController();
    const stop = (): void => gone.abort();
    output.once('close', stop);
    try {
      await once(output, 'drain', { signal: gone.signal });
    } catch {
      // Closed or failed: `writable` is false from now on.
    } finally {
      output.off('close', stop);
    }
  };
}

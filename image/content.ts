import { closeSync, openSync, readSync } from 'node:fs';
import type { FileContent } from './image';

/** Reads at most `limitBytes` of a file's content, synchronously: for the few small files whose text matters. */
export function readContent(content: FileContent, limitBytes = Number.POSITIVE_INFINITY): Uint8Array {
  if (content instanceof Uint8Array) return content.subarray(0, limitBytes);
  const buffer = Buffer.alloc(Math.min(content.sizeBytes, limitBytes));
  const file = openSync(content.path, 'r');
  try {
    let length = 0;
    while (length < buffer.length) {
      const count = readSync(file, buffer, length, buffer.length - length, content.offsetBytes + length);
      if (count === 0) break;
      length += count;
    }
    return buffer.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

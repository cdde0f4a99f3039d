/**
 * Embedded assembly of image.tar beside reading, hashing and writing the same file once, and the memory that it takes.
 *
 * Started with `--memory <binary> <image.tar>` it assembles once and prints the process's peak memory in KiB.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, milliseconds, ratio, spread, table, takeTurns, timed } from './samples.mjs';

const { writeArchive } = createRequire(import.meta.url)('../dist/image/archive.js');
const platform = { os: 'linux', architecture: 'amd64' };

export function assemble(source, file) {
  const content = { path: source, offsetBytes: 0, sizeBytes: statSync(source).size };
  const entry = { type: 'file', path: 'hello', mode: 0o755, uid: 0, gid: 0, content };
  const history = [{ created_by: 'COPY hello /hello' }];
  const image = { platform, config: { Entrypoint: ['/hello'] }, history, layers: [{ entries: [entry] }] };
  return writeArchive({ images: [image], references: ['hello'], file, hostPlatform: platform, createdSeconds: 0 });
}

/** The plain way: one buffer, synchronous calls, nothing else; the new file takes the former's place, if there is one. */
function readHashWrite(source, file) {
  const from = openSync(source, 'r');
  const to = openSync(`${file}.tmp`, 'w');
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(1024 * 1024);
  for (let count = readSync(from, buffer); count > 0; count = readSync(from, buffer)) {
    hash.update(buffer.subarray(0, count));
    writeSync(to, buffer, 0, count);
  }
  closeSync(from);
  closeSync(to);
  renameSync(`${file}.tmp`, file);
  return hash.digest('hex');
}

export function makeFile(file, sizeBytes) {
  const fd = openSync(file, 'w');
  const chunk = randomBytes(1024 * 1024);
  for (let left = sizeBytes; left > 0; left -= chunk.length) writeSync(fd, chunk, 0, Math.min(left, chunk.length));
  closeSync(fd);
}

/** Assembly's time beside the plain way's, and its peak memory at 5 and 500 MB; Markdown. */
export async function assembly(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-assembly-'));
  try {
    const source = join(folder, 'binary');
    return `${await times(source, folder, rounds)}\n\n${memory(source, folder)}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function times(source, folder, rounds) {
  makeFile(source, 6_000_000);
  const [archive, copy] = [join(folder, 'image.tar'), join(folder, 'copy')];
  const intoNew = (file, work) => () => {
    rmSync(file, { force: true });
    return timed(work);
  };
  const samples = await takeTurns(rounds, {
    plainNew: intoNew(copy, () => readHashWrite(source, copy)),
    assemblyNew: intoNew(archive, () => assemble(source, archive)),
    plainReplaced: () => timed(() => readHashWrite(source, copy)),
    assemblyReplaced: () => timed(() => assemble(source, archive)),
    plainAgain: intoNew(copy, () => readHashWrite(source, copy)),
  });
  // Where the file system writes a replacing file out at once (ext4 does), both pay for that.
  const row = (title, plain, own) => {
    const ofMedians = (median(own) / median(plain)).toFixed(2);
    return [title, milliseconds(plain), milliseconds(own), ofMedians, spread(ratio(own, plain))];
  };
  return table(
    ['6 MB binary', 'read, hash, write once', 'assemble image.tar', 'ratio of medians (goal: 1.5)', 'ratio by round'],
    [
      row('into a new file', samples.plainNew, samples.assemblyNew),
      row('replacing the former', samples.plainReplaced, samples.assemblyReplaced),
      row('noise: the plain way beside itself', samples.plainNew, samples.plainAgain),
    ],
  );
}

function memory(source, folder) {
  const peak = (sizeBytes) => {
    makeFile(source, sizeBytes);
    const args = [fileURLToPath(import.meta.url), '--memory', source, join(folder, 'image.tar')];
    return [1, 2, 3].map(() => Number(execFileSync(process.execPath, args)) / 1024);
  };
  const [small, large] = [peak(5_000_000), peak(500_000_000)];
  return table(
    ['peak memory of a process that assembles', 'MiB'],
    [
      ['5 MB', spread(small, 1)],
      ['500 MB', spread(large, 1)],
      ['growth', (median(large) - median(small)).toFixed(1)],
    ],
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] === '--memory') {
  await assemble(process.argv[3], process.argv[4]);
  console.log(process.resourceUsage().maxRSS);
}

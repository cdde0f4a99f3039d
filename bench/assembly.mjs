/**
 * Embedded assembly of image.tar beside reading, hashing and writing the same file once, and the memory that it takes.
 *
 *     npx tsc -p tsconfig.build.json && node bench/assembly.mjs [rounds]
 *
 * Prints Markdown. Rounds are interleaved, so that what else the machine does falls on both alike.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const { writeArchive } = createRequire(import.meta.url)('../dist/image/archive.js');
const platform = { os: 'linux', architecture: 'amd64' };

function assemble(source, file) {
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

function makeFile(file, sizeBytes) {
  const fd = openSync(file, 'w');
  const chunk = randomBytes(1024 * 1024);
  for (let left = sizeBytes; left > 0; left -= chunk.length) writeSync(fd, chunk, 0, Math.min(left, chunk.length));
  closeSync(fd);
}

function describe(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return { median: at(0.5), text: `${at(0.5).toFixed(1)} ms (${at(0.1).toFixed(1)} to ${at(0.9).toFixed(1)})` };
}

async function timed(run) {
  const start = process.hrtime.bigint();
  await run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

if (process.argv[2] === '--memory') {
  await assemble(process.argv[3], process.argv[4]);
  console.log(process.resourceUsage().maxRSS);
} else {
  const rounds = Number(process.argv[2] ?? 40);
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-assembly-'));
  try {
    const source = join(folder, 'binary');
    makeFile(source, 6_000_000);
    const [archive, copy] = [join(folder, 'image.tar'), join(folder, 'copy')];
    const times = { plainNew: [], assemblyNew: [], plainReplaced: [], assemblyReplaced: [] };
    for (let round = -5; round < rounds; round++) {
      const row = {};
      rmSync(copy, { force: true });
      row.plainNew = await timed(() => readHashWrite(source, copy));
      rmSync(archive, { force: true });
      row.assemblyNew = await timed(() => assemble(source, archive));
      row.plainReplaced = await timed(() => readHashWrite(source, copy));
      row.assemblyReplaced = await timed(() => assemble(source, archive));
      if (round >= 0) for (const [name, time] of Object.entries(row)) times[name].push(time);
    }
    console.log(`Node ${process.version}, ${cpus().length} x ${cpus()[0].model}, ${rounds} rounds, interleaved\n`);
    console.log('| 6 MB binary | read, hash, write once | assemble image.tar | ratio (goal: 1.5) |\n|---|---|---|---|');
    // Where the file system writes a replacing file out at once (ext4 does), both pay for that.
    for (const [title, name] of [
      ['into a new file', 'New'],
      ['replacing the former', 'Replaced'],
    ]) {
      const [plain, assembly] = [describe(times[`plain${name}`]), describe(times[`assembly${name}`])];
      console.log(`| ${title} | ${plain.text} | ${assembly.text} | ${(assembly.median / plain.median).toFixed(2)} |`);
    }
    console.log('\nTimes are medians, with the 10th to 90th percentile.\n');

    const peak = (sizeBytes) => {
      makeFile(source, sizeBytes);
      const args = [fileURLToPath(import.meta.url), '--memory', source, join(folder, 'image.tar')];
      const runs = [1, 2, 3].map(() => Number(execFileSync(process.execPath, args)) / 1024);
      return runs.sort((a, b) => a - b)[1];
    };
    const [small, large] = [peak(5_000_000), peak(500_000_000)];
    console.log('| peak memory of a process that assembles | median of 3 |\n|---|---|');
    console.log(`| 5 MB | ${small.toFixed(1)} MiB |\n| 500 MB | ${large.toFixed(1)} MiB |`);
    console.log(`| growth | ${(large - small).toFixed(1)} MiB |`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startProgram } from './program';

const folder = mkdtempSync(join(tmpdir(), 'slim-go-program-'));
const marks = join(folder, 'marks');
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => rmSync(marks, { force: true }));

/** A program in JavaScript; `mark(text)` appends to a file that the test reads. */
function run(code: string, stopTimeoutMs = 20_000) {
  const mark = `const mark = (text) => require('node:fs').appendFileSync(${JSON.stringify(marks)}, text + ' ');`;
  const args = ['-e', `${mark}${code}`];
  const env = { ...process.env, NODE_OPTIONS: '' };
  return startProgram({ file: process.execPath, args, cwd: folder, env, stopTimeoutMs });
}

async function marked(pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    try {
      const match = pattern.exec(readFileSync(marks, 'utf8'));
      if (match) return match;
    } catch {}
    await delay(10);
  }
}

function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return /^[^Z\s]/.test(stdout.trim());
}

const forever = 'setInterval(() => undefined, 1000);';
const startsChild = (code: string) =>
  `const child = require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(code)}], { stdio: 'ignore' });
   child.on('spawn', () => mark('child' + child.pid));`;

describe('startProgram', () => {
  it('runs in its folder and says how it ended', async () => {
    const program = run('mark(process.cwd()); process.exit(3);');
    expect(await program.ended).toEqual({ exitCode: 3, signal: null });
    expect(readFileSync(marks, 'utf8')).toBe(`${folder} `);
  });

  it('asks a program to end, which may take its time', async () => {
    const program = run(`process.on('SIGTERM', () => setTimeout(() => { mark('tidy'); process.exit(0); }, 200));
      ${forever} mark('ready');`);
    await marked(/ready/);
    expect(await program.stop()).toBe(false);
    expect(readFileSync(marks, 'utf8')).toBe('ready tidy ');
    expect(await program.ended).toEqual({ exitCode: 0, signal: null });
  });

  it('kills a program that does not listen', async () => {
    const program = run(`process.on('SIGTERM', () => mark('no')); ${forever} mark('ready');`, 300);
    await marked(/ready/);
    expect(await program.stop()).toBe(true);
    expect(readFileSync(marks, 'utf8')).toBe('ready no ');
    expect(await program.ended).toEqual({ exitCode: null, signal: 'SIGKILL' });
  });

  it('ends the children, one that does not listen too, before it says so, and their port is free', async () => {
    const server = `process.on('SIGTERM', () => undefined);
      const server = require('node:net').createServer().listen(0, '127.0.0.1', () =>
        require('node:fs').appendFileSync(${JSON.stringify(marks)}, 'port' + server.address().port + ' '));`;
    const program = run(`${startsChild(server)} ${forever}`, 300);
    const pid = Number((await marked(/child(\d+) /))[1]);
    const port = Number((await marked(/port(\d+) /))[1]);
    expect(await program.stop()).toBe(true);
    expect(isRunning(pid)).toBe(false);
    await expect(
      new Promise((done, fail) => connect(port, '127.0.0.1').on('connect', done).on('error', fail)),
    ).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('ends the children of a program that ended by itself', async () => {
    const program = run(`${startsChild(forever)} child.on('spawn', () => process.exit(0));`);
    expect(await program.ended).toEqual({ exitCode: 0, signal: null });
    expect(isRunning(Number((await marked(/child(\d+) /))[1]))).toBe(false);
  });

  it('says why a program was not started', async () => {
    const program = startProgram({ file: join(folder, 'none'), args: [], cwd: folder, env: {}, stopTimeoutMs: 1 });
    expect(program.pid).toBeUndefined();
    expect(await program.ended).toMatchObject({ error: { code: 'ENOENT' } });
    expect(await program.stop()).toBe(false);
  });
});

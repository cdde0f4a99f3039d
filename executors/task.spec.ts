import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ExecutorContext, Task as NxTask } from '@nx/devkit';
import { SlimGoError } from '../errors';
import { type BatchResult, batchExecutorOf, executorOf, type Work } from './task';
import { environmentOf } from './task-env';

const context = { root: '/workspace', isVerbose: false } as unknown as ExecutorContext;

function members(...names: string[]): Record<string, NxTask> {
  return Object.fromEntries(
    names.map((project) => [
      `${project}:build`,
      {
        id: `${project}:build`,
        target: { project, target: 'build' },
        projectRoot: `apps/${project}`,
        overrides: {},
        outputs: [],
        cache: true,
        parallelism: true,
      },
    ]),
  );
}

async function runBatch<Options>(work: Work<Options>, inputs: Record<string, Options>): Promise<BatchResult[]> {
  const results: BatchResult[] = [];
  const tasks = members(...Object.keys(inputs).map((id) => id.replace(':build', '')));
  for await (const result of batchExecutorOf(work)({ tasks }, inputs, {}, context)) results.push(result);
  return results;
}

describe('batchExecutorOf', () => {
  it('gives each task its options, its project and what it printed, as soon as it is done', async () => {
    const seen: string[] = [];
    const work: Work<string> = async (tasks, _signal, done) => {
      for (const task of tasks.toReversed()) {
        task.print(`${task.context.projectName}:${task.context.targetName} `);
        task.print(Buffer.from('\u00e4').subarray(0, 1), 'stderr');
        task.print(Buffer.from('\u00e4').subarray(1));
        done(task);
        await new Promise(setImmediate);
        seen.push(task.options);
      }
    };
    const order: string[] = [];
    const tasks = members('a', 'b');
    for await (const { task, result } of batchExecutorOf(work)(
      { tasks },
      { 'a:build': '1', 'b:build': '2' },
      {},
      context,
    )) {
      order.push(`${task} ${result.success} ${result.terminalOutput} after ${seen.length}`);
    }
    expect(order).toEqual(['b:build true b:build \u00e4 after 0', 'a:build true a:build \u00e4 after 1']);
  });

  it('lets one task fail alone, with message and hint, or with the stack where it is a bug', async () => {
    const work: Work<number> = async (tasks, _signal, done) => {
      const [wrong, bug, fine] = tasks;
      done(wrong!, new SlimGoError('OPTION_INVALID', 'It is wrong.', { hint: 'Mend it.' }));
      done(bug!, new TypeError('x is undefined'));
      done(fine!);
      // The second word about a task counts for nothing.
      done(fine!, new Error('late'));
    };
    const results = await runBatch(work, { 'a:build': 1, 'b:build': 2, 'c:build': 3 });
    expect(results.map(({ result }) => result.success)).toEqual([false, false, true]);
    expect(results[0]?.result.terminalOutput).toBe('It is wrong.\n  Mend it.\n');
    expect(results[1]?.result.terminalOutput).toMatch(/^TypeError: x is undefined\n +at /);
  });

  it('fails what is left when the work throws or forgets a task', async () => {
    const thrown = await runBatch<number>(
      async ([first], _signal, done) => {
        done(first!);
        throw new SlimGoError('GO_NOT_FOUND', 'No Go.');
      },
      { 'a:build': 1, 'b:build': 2 },
    );
    expect(thrown.map(({ result }) => [result.success, result.terminalOutput])).toEqual([
      [true, ''],
      [false, 'No Go.\n'],
    ]);
    const forgotten = await runBatch<number>(async () => {}, { 'a:build': 1 });
    expect(forgotten[0]?.result).toMatchObject({
      success: false,
      terminalOutput: expect.stringContaining('left this'),
    });
  });

  it('prints at once what is alone and kept in no cache', async () => {
    const work: Work<number> = async ([task], _signal, done) => {
      task!.print('live\n');
      done(task!);
    };
    const write = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
    const [uncached] = Object.values(members('a'));
    const results: BatchResult[] = [];
    const tasks = { 'a:build': { ...uncached!, cache: false } };
    for await (const result of batchExecutorOf(work)({ tasks }, { 'a:build': 1 }, {}, context)) results.push(result);
    const calls = [...write.mock.calls];
    write.mockRestore();
    expect(results[0]?.result).toMatchObject({ success: true, terminalOutput: '' });
    expect(calls).toEqual([['live\n']]);
  });

  it('calls nothing a success that a signal has interrupted', async () => {
    const results = await runBatch<number>(
      async (tasks, _signal, done) => {
        done(tasks[0]!);
        process.emit('SIGTERM', 'SIGTERM');
        done(tasks[1]!);
      },
      { 'a:build': 1, 'b:build': 2, 'c:build': 3 },
    );
    expect(results.map(({ result }) => [result.success, result.terminalOutput])).toEqual([
      [true, ''],
      [false, 'Interrupted by SIGTERM.\n'],
      [false, 'Interrupted by SIGTERM.\n'],
    ]);
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });
});

describe('executorOf', () => {
  it('prints as it goes, and fails as its task does', async () => {
    const text: unknown[] = [];
    const spies = (['stdout', 'stderr'] as const).map((stream) =>
      jest.spyOn(process[stream], 'write').mockImplementation((chunk) => {
        text.push([stream, chunk]);
        return true;
      }),
    );
    const work: Work<boolean> = async ([task], _signal, done) => {
      task!.print('out');
      task!.print('err', 'stderr');
      done(task!, task!.options ? undefined : new SlimGoError('OPTION_INVALID', 'Wrong.'));
    };
    const results = [await executorOf(work)(true, context), await executorOf(work)(false, context)];
    for (const spy of spies) spy.mockRestore();
    expect(results).toEqual([{ success: true }, { success: false }]);
    const lines = [
      ['stdout', 'out'],
      ['stderr', 'err'],
    ];
    expect(text).toEqual([...lines, ...lines, ['stderr', 'Wrong.\n']]);
  });
});

describe('environmentOf', () => {
  const root = mkdtempSync(join(tmpdir(), 'slim-go-env-'));
  afterAll(() => rmSync(root, { recursive: true }));

  it('is what Nx itself gives a task that runs by itself', () => {
    const files = {
      '.env': 'ROOT=root\nBOTH=root\nUSED=root',
      '.local.env': 'LOCAL=local',
      'apps/a/.env': 'BOTH=project\nPLAIN=${ROOT}/x\nSHELL_HAS=file',
      'apps/a/.env.build': 'BUILD=target\nORDER=3',
      'apps/a/.build.release.env': 'ORDER=1',
      'apps/a/.env.release': 'ORDER=2',
      '.build.env': 'FROM_ROOT=target',
      'apps/b/.env': 'OTHER=1',
    };
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), `${text}\n`);
    }
    // What Nx has loaded when it starts; USED differs from the file, so somebody else has set it.
    const shell = {
      ROOT: 'root',
      BOTH: 'root',
      LOCAL: 'local',
      USED: 'shell',
      SHELL_HAS: 'shell',
      NX_LOAD_DOT_ENV_FILES: 'true',
    };
    const task = { ...members('a')['a:build']!, target: { project: 'a', target: 'build', configuration: 'release' } };
    // Nx's own function, which is not public: the judge here, no part of what we ship.
    const script = `
      const { getTaskSpecificEnv } = require(${JSON.stringify(join(dirname(require.resolve('nx/package.json')), 'dist/src/tasks-runner/task-env.js'))});
      const graph = { nodes: { a: { data: { targets: {} } } } };
      process.stdout.write(JSON.stringify(getTaskSpecificEnv(${JSON.stringify(task)}, graph)));`;
    const theirs = execFileSync(process.execPath, ['-e', script], {
      cwd: root,
      env: { ...shell, NX_WORKSPACE_ROOT_PATH: root },
      encoding: 'utf8',
    });
    const { NX_WORKSPACE_ROOT_PATH: _, ...expected } = JSON.parse(theirs) as Record<string, string>;
    expect(expected).toMatchObject({ BOTH: 'project', ORDER: '1', FROM_ROOT: 'target', SHELL_HAS: 'shell' });
    expect(environmentOf(task, root, shell)).toEqual(expected);
    const off = { ...shell, NX_LOAD_DOT_ENV_FILES: 'false' };
    expect(environmentOf(task, root, off)).toEqual(off);
  });
});

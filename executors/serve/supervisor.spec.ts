import { SlimGoError } from '../../errors';
import type { ProgramEnd, RunningProgram } from './program';
import { type Prepared, Supervisor } from './supervisor';

/** Lets everything run that is not waiting for the test. */
const settle = () => new Promise((done) => setImmediate(done));

interface Build {
  readonly paths: readonly string[];
  readonly signal: AbortSignal;
  readonly succeed: () => Promise<unknown>;
  readonly fail: (error: Error) => Promise<unknown>;
}

/** A supervisor whose builds and programs take as long as the test says. */
async function supervising() {
  const log: string[] = [];
  const builds: Build[] = [];
  const programs: { readonly end: (end: ProgramEnd) => Promise<unknown>; stopped: () => Promise<unknown> }[] = [];
  const program = (): RunningProgram => {
    const pid = programs.length + 1;
    let end: (end: ProgramEnd) => void = () => undefined;
    let stopped: (isKilled: boolean) => void = () => undefined;
    const ended = new Promise<ProgramEnd>((done) => {
      end = done;
    });
    programs.push({
      end: (how) => {
        end(how);
        return settle();
      },
      stopped: () => {
        end({ exitCode: null, signal: 'SIGTERM' });
        stopped(false);
        return settle();
      },
    });
    log.push(`start ${pid}`);
    return {
      pid,
      ended,
      stop: () => {
        log.push(`stop ${pid}`);
        return new Promise((done) => {
          stopped = done;
        });
      },
    };
  };
  const supervisor = new Supervisor({
    prepare: (paths, signal) =>
      new Promise<Prepared>((done, failed) => {
        signal.addEventListener('abort', () => failed(new SlimGoError('ABORTED', 'called off')));
        builds.push({
          paths,
          signal,
          succeed: () => {
            done({ how: 'built', start: program });
            return settle();
          },
          fail: (error) => {
            failed(error);
            return settle();
          },
        });
      }),
    say: (text) => log.push(text),
    fail: ({ message }) => log.push(message),
  });
  const interrupt = new AbortController();
  let isOver = false;
  const over = supervisor.run(interrupt.signal).finally(() => {
    isOver = true;
  });
  await settle();
  const change = (...paths: string[]) => {
    supervisor.change(paths);
    return settle();
  };
  const abort = () => {
    interrupt.abort();
    return settle();
  };
  return { log, builds, programs, change, abort, over, isOver: () => isOver };
}

const broken = new SlimGoError('GO_BUILD_FAILED', 'main.go:3: no');

describe('Supervisor', () => {
  it('starts the next program when it is built and the former one has ended, not before', async () => {
    const { log, builds, programs, change } = await supervising();
    await builds[0]!.succeed();
    await change('a.go');
    expect(log).toEqual(['start 1', 'built, started (pid 1)']);
    expect(builds[1]!.paths).toEqual(['a.go']);
    await builds[1]!.succeed();
    expect(log.slice(2)).toEqual(['stop 1']);
    await programs[0]!.stopped();
    expect(log.slice(3)).toEqual(['start 2', 'built, started (pid 2)']);
  });

  it('leaves the former program running when a build fails', async () => {
    const { log, builds, change } = await supervising();
    await builds[0]!.succeed();
    await change('a.go');
    await builds[1]!.fail(broken);
    expect(log.slice(2)).toEqual(['main.go:3: no', 'the former program goes on (pid 1)']);
    await change('a.go');
    await builds[2]!.succeed();
    expect(log.at(-1)).toBe('stop 1');
  });

  it('waits for a change when the first build fails', async () => {
    const { log, builds, change } = await supervising();
    await builds[0]!.fail(broken);
    expect(log).toEqual(['main.go:3: no', 'nothing runs; waiting for a change']);
    await change('a.go');
    await builds[1]!.succeed();
    expect(log.at(-1)).toBe('built, started (pid 1)');
  });

  it('calls off a build that a change overtakes, and builds once more, of whatever came meanwhile', async () => {
    const { log, builds, change } = await supervising();
    await builds[0]!.succeed();
    await change('a.go');
    await change('b.go', 'c.go');
    expect(builds[1]!.signal.aborted).toBe(true);
    expect(builds.map(({ paths }) => paths)).toEqual([[], ['a.go'], ['b.go', 'c.go']]);
    expect(log).toEqual(['start 1', 'built, started (pid 1)']);
  });

  it('does not start what was overtaken while the former program took its time to end', async () => {
    const { log, builds, programs, change } = await supervising();
    await builds[0]!.succeed();
    await change('a.go');
    await builds[1]!.succeed();
    await change('b.go');
    await programs[0]!.stopped();
    expect(log.slice(2)).toEqual(['stop 1']);
    await builds[2]!.succeed();
    expect(log.slice(3)).toEqual(['start 2', 'built, started (pid 2)']);
  });

  it.each([
    [{ exitCode: 0, signal: null }, 'exited with code 0; waiting for a change'],
    [{ exitCode: 2, signal: null }, 'exited with code 2; waiting for a change'],
    [{ exitCode: null, signal: 'SIGSEGV' as const }, 'ended by SIGSEGV; waiting for a change'],
    [
      { exitCode: null, signal: null, error: Object.assign(new Error(), { code: 'EACCES' }) },
      "can't be started (EACCES); waiting for a change",
    ],
  ])('says how a program ended by itself, and does not start it again without a change: %j', async (end, text) => {
    const { log, builds, programs, change } = await supervising();
    await builds[0]!.succeed();
    await programs[0]!.end(end);
    expect(log.slice(2)).toEqual([text]);
    expect(builds).toHaveLength(1);
    await change('a.go');
    await builds[1]!.succeed();
    expect(log.slice(3)).toEqual(['start 2', 'built, started (pid 2)']);
  });

  it('is over when the program has ended that an interruption stops', async () => {
    const { log, builds, programs, abort, over, isOver } = await supervising();
    await builds[0]!.succeed();
    await abort();
    expect([log.at(-1), isOver()]).toEqual(['stop 1', false]);
    await programs[0]!.stopped();
    await over;
    expect(log.at(-1)).toBe('stop 1');
  });

  it('is over at once when an interruption comes while it builds', async () => {
    const { log, builds, abort, over } = await supervising();
    await abort();
    await over;
    expect(builds[0]!.signal.aborted).toBe(true);
    expect(log).toEqual([]);
  });

  it('ends the program when something fails that no change can mend', async () => {
    const { builds, programs, change, over, isOver } = await supervising();
    await builds[0]!.succeed();
    await change('a.go');
    const failed = expect(over).rejects.toThrow('a bug');
    await builds[1]!.fail(new TypeError('a bug'));
    expect(isOver()).toBe(false);
    await programs[0]!.stopped();
    await failed;
  });
});

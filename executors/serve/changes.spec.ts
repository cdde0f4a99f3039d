import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ChangeWatch, FolderWatch } from './changes';

/** A clock that only the test moves, and files that are what the test says. */
function watching(start: Readonly<Record<string, string>>) {
  let files = start;
  let nowMs = 0;
  let looks = 0;
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  const changes: (readonly string[])[] = [];
  const watch = new ChangeWatch(
    {
      read: () => {
        looks++;
        return { files: new Map(Object.entries(files)), folders: [] };
      },
      follow: () => false,
      after: (ms, run) => {
        const timer = { at: nowMs + ms, run };
        timers.add(timer);
        return () => timers.delete(timer);
      },
    },
    100,
    (paths) => changes.push(paths),
  );
  const pass = (ms: number): void => {
    const until = nowMs + ms;
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      timers.delete(next);
      nowMs = next.at;
      next.run();
    }
    nowMs = until;
  };
  const write = (now: Readonly<Record<string, string>>): void => {
    files = now;
    watch.event();
  };
  pass(1000);
  return { watch, write, pass, changes, looks: () => looks };
}

describe('ChangeWatch', () => {
  it('reports a change once it has stayed as it is', () => {
    const { write, pass, changes } = watching({ a: '1', b: '1' });
    write({ a: '2', b: '1' });
    pass(99);
    expect(changes).toEqual([]);
    pass(1);
    expect(changes).toEqual([['a']]);
    pass(1000);
    expect(changes).toHaveLength(1);
  });

  it('takes a checkout that goes on and on for one change, with what was added and removed', () => {
    const { write, pass, changes } = watching({ a: '1', gone: '1' });
    for (let step = 2; step < 30; step++) {
      write({ a: String(step), [`new${step}`]: '1' });
      pass(60);
    }
    expect(changes).toEqual([]);
    pass(200);
    expect(changes).toEqual([['a', 'new29', 'gone']]);
  });

  it('reports nothing that is as before: a touch, or an edit that is taken back', () => {
    const { write, pass, changes } = watching({ a: '1' });
    write({ a: '1' });
    pass(500);
    write({ a: '' });
    pass(50);
    write({ a: '1' });
    pass(500);
    expect(changes).toEqual([]);
  });

  it('sees a change among events that never end, and looks no more often than it must', () => {
    const { watch, write, pass, changes, looks } = watching({ a: '1' });
    for (let step = 0; step < 100; step++) {
      watch.event();
      pass(10);
    }
    expect(looks()).toBeLessThan(15);
    write({ a: '2' });
    for (let step = 0; step < 30; step++) {
      watch.event();
      pass(10);
    }
    expect(changes).toEqual([['a']]);
  });

  it('looks at what happened before the folders were watched', () => {
    const snapshots = ['1', '2', '2'];
    const timers: (() => void)[] = [];
    const changes: (readonly string[])[] = [];
    const read = () => ({ files: new Map([['a', snapshots.shift() ?? '2']]), folders: [] });
    const after = (_ms: number, run: () => void) => {
      timers.push(run);
      return () => undefined;
    };
    new ChangeWatch({ read, follow: () => false, after }, 100, (paths) => changes.push(paths));
    for (let step = 0; step < 3; step++) timers.shift()?.();
    expect(changes).toEqual([['a']]);
  });

  it('is silent when it was stopped', () => {
    const { watch, write, pass, changes } = watching({ a: '1' });
    write({ a: '2' });
    watch.stop();
    pass(1000);
    expect(changes).toEqual([]);
  });
});

describe('FolderWatch', () => {
  const root = mkdtempSync(join(tmpdir(), 'slim-go-watch-'));
  let events = 0;
  const watch = new FolderWatch(
    () => {
      events++;
    },
    (error) => {
      throw error;
    },
  );
  afterAll(() => {
    watch.close();
    rmSync(root, { recursive: true, force: true });
  });

  const somethingHappens = async (act: () => void): Promise<void> => {
    // Those of what was done before may still be on their way.
    await delay(100);
    const before = events;
    act();
    while (events === before) await delay(5);
  };

  it('tells of files that come, change, are replaced and go, and of a folder that is put in the place of another', async () => {
    const folder = join(root, 'pkg');
    const file = join(folder, 'a.go');
    mkdirSync(folder);
    expect(watch.follow([root, folder, join(root, 'absent')])).toBe(true);
    expect(watch.follow([root, folder, join(root, 'absent')])).toBe(false);
    await somethingHappens(() => writeFileSync(file, '1'));
    await somethingHappens(() => writeFileSync(file, '2'));
    writeFileSync(join(root, 'swap'), '3');
    await somethingHappens(() => renameSync(join(root, 'swap'), file));
    await somethingHappens(() => rmSync(folder, { recursive: true }));
    mkdirSync(folder);
    expect(watch.follow([root, folder])).toBe(true);
    await somethingHappens(() => writeFileSync(file, '4'));
    expect(watch.follow([])).toBe(false);
  });
});

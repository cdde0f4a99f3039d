import { type FSWatcher, statSync, watch } from 'node:fs';
import type { Snapshot } from '../../go/program-sources';

/** What a `ChangeWatch` stands on. */
export interface ChangeSource {
  /** What there is now. */
  readonly read: () => Snapshot;
  /** Has these folders watched, and no others. @returns whether one is watched from now on only */
  readonly follow: (folders: readonly string[]) => boolean;
  /** Calls once, after a time. @returns what calls it off */
  readonly after: (ms: number, run: () => void) => () => void;
}

/**
 * Says what has changed, once it stays as it is for `debounceMs`: an editor writes a file in several steps, git hundreds of
 * them. Contents are compared, so that an event is a reason to look and nothing else.
 */
export class ChangeWatch {
  /** What the last change that was reported led to. */
  current: Snapshot;
  private seen: Snapshot;
  private cancel: (() => void) | undefined;
  private mustLookAgain = false;

  /** @param onChange gets paths as in `Snapshot.files` */
  constructor(
    private readonly source: ChangeSource,
    private readonly debounceMs: number,
    private readonly onChange: (paths: readonly string[]) => void,
  ) {
    this.current = source.read();
    this.seen = this.current;
    source.follow(this.current.folders);
    // Something may have changed between the two.
    this.lookLater(true);
  }

  /** To be called when something happened in a folder that is watched. */
  event(): void {
    if (this.cancel) this.mustLookAgain = true;
    else this.look();
  }

  stop(): void {
    this.cancel?.();
  }

  private look(): void {
    const next = this.source.read();
    const isNewlyWatched = this.source.follow(next.folders);
    const isStable = changesBetween(this.seen, next).length === 0;
    this.seen = next;
    const changes = changesBetween(this.current, next);
    if (changes.length > 0 && isStable) {
      this.current = next;
      this.onChange(changes);
    }
    // Events in between wait for that look: a program that writes a log beside its sources costs one each time.
    this.lookLater(isNewlyWatched || (changes.length > 0 && !isStable));
  }

  private lookLater(mustLookAgain: boolean): void {
    this.mustLookAgain = mustLookAgain;
    this.cancel = this.source.after(this.debounceMs, () => {
      this.cancel = undefined;
      if (this.mustLookAgain) this.look();
    });
  }
}

function changesBetween({ files: before }: Snapshot, { files: after }: Snapshot): string[] {
  const paths = [...new Set([...after.keys(), ...before.keys()])];
  return paths.filter((path) => before.get(path) !== after.get(path));
}

/** How often is looked where the system can't watch. */
const pollMs = 1000;

/** Watches folders, each by itself. */
export class FolderWatch {
  private readonly watched = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  private poll: NodeJS.Timeout | undefined;

  /** @param onTrouble told once, when it can only look every second */
  constructor(
    private readonly onEvent: () => void,
    private readonly onTrouble: (error: NodeJS.ErrnoException) => void,
  ) {}

  /** See `ChangeSource.follow`. */
  follow(folders: readonly string[]): boolean {
    const wanted = new Map(folders.map((folder) => [folder, identityOf(folder)]));
    for (const [folder, { identity }] of this.watched) {
      // A folder of the same name in its place is another one: the system does not say so.
      if (wanted.get(folder) !== identity) this.drop(folder);
    }
    const missing = [...wanted].filter(([folder]) => !this.watched.has(folder));
    return missing.filter(([folder, identity]) => identity !== undefined && this.add(folder, identity)).length > 0;
  }

  close(): void {
    clearInterval(this.poll);
    for (const folder of [...this.watched.keys()]) this.drop(folder);
  }

  private add(folder: string, identity: string): boolean {
    try {
      const watcher = watch(folder, this.onEvent);
      watcher.on('error', () => {
        this.drop(folder);
        this.onEvent();
      });
      this.watched.set(folder, { identity, watcher });
      return true;
    } catch (error) {
      // Unless it was removed meanwhile, which the folder above it tells.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !this.poll) {
        this.onTrouble(error as NodeJS.ErrnoException);
        this.poll = setInterval(this.onEvent, pollMs);
      }
      return false;
    }
  }

  private drop(folder: string): void {
    this.watched.get(folder)?.watcher.close();
    this.watched.delete(folder);
  }
}

function identityOf(folder: string): string | undefined {
  try {
    const { dev, ino, birthtimeMs } = statSync(folder);
    return `${dev} ${ino} ${birthtimeMs}`;
  } catch {
    return undefined;
  }
}

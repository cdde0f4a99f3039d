import { SlimGoError } from '../../errors';
import type { RunningProgram } from './program';

/** A program that is ready to be started. */
export interface Prepared {
  /** How it came to be: `built in 0.4 s`. */
  readonly how: string;
  readonly start: () => RunningProgram;
}

/** What a `Supervisor` stands on. */
export interface Serving {
  /**
   * Makes the program from what there is now.
   * @param paths what has changed; empty the first time
   * @throws what can be mended by another change as `SlimGoError`; ABORTED when `signal` fires
   */
  readonly prepare: (paths: readonly string[], signal: AbortSignal) => Promise<Prepared>;
  readonly say: (text: string) => void;
  /** Shows why there is no new program. */
  readonly fail: (error: SlimGoError) => void;
}

/**
 * Keeps one program running that is true to its sources. The former one runs until the next is built, and has ended before
 * that starts. One that ends by itself is not started again before a change.
 */
export class Supervisor {
  private program: RunningProgram | undefined;
  /** What has changed since the last build began. */
  private readonly changed = new Set<string>();
  private build: AbortController | undefined;
  private wake: (() => void) | undefined;

  constructor(private readonly serving: Serving) {}

  /** A build that is under way is called off: its result would be no longer true. */
  change(paths: readonly string[]): void {
    for (const path of paths) this.changed.add(path);
    this.build?.abort();
    this.wake?.();
  }

  /** Builds and runs until `signal` fires; then the program has ended. */
  async run(signal: AbortSignal): Promise<void> {
    const abort = (): void => this.change([]);
    signal.addEventListener('abort', abort);
    try {
      while (!signal.aborted) {
        const prepared = await this.prepare();
        // While the former program ends there may be another change: then the next build follows, with nothing running.
        if (prepared) await this.stop();
        if (prepared && this.changed.size === 0 && !signal.aborted) this.start(prepared);
        if (this.changed.size === 0 && !signal.aborted) {
          await new Promise<void>((wake) => {
            this.wake = wake;
          });
        }
      }
    } finally {
      signal.removeEventListener('abort', abort);
      await this.stop();
    }
  }

  /** Undefined where there is nothing new to run. */
  private async prepare(): Promise<Prepared | undefined> {
    const paths = [...this.changed];
    this.changed.clear();
    const build = new AbortController();
    this.build = build;
    try {
      const prepared = await this.serving.prepare(paths, build.signal);
      return build.signal.aborted ? undefined : prepared;
    } catch (error) {
      if (build.signal.aborted) return undefined;
      if (!(error instanceof SlimGoError)) throw error;
      this.serving.fail(error);
      this.serving.say(
        this.program ? `the former program goes on (pid ${this.program.pid})` : 'nothing runs; waiting for a change',
      );
      return undefined;
    } finally {
      this.build = undefined;
    }
  }

  private start({ how, start }: Prepared): void {
    const program = start();
    this.program = program;
    if (program.pid !== undefined) this.serving.say(`${how}, started (pid ${program.pid})`);
    void program.ended.then(({ exitCode, signal, error }) => {
      // Stopped by us.
      if (this.program !== program) return;
      this.program = undefined;
      const end = error
        ? `can't be started (${error.code})`
        : signal
          ? `ended by ${signal}`
          : `exited with code ${exitCode}`;
      this.serving.say(`${end}; waiting for a change`);
    });
  }

  private async stop(): Promise<void> {
    const program = this.program;
    this.program = undefined;
    if (await program?.stop()) this.serving.say(`pid ${program?.pid} did not end when asked to, and was killed`);
  }
}

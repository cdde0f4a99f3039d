import { setMaxListeners } from 'node:events';
import { styleText } from 'node:util';
import { SlimGoError } from '../errors';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** One Ctrl-C comes twice: from the terminal, and as SIGTERM from Nx, which got it too. */
const sameSignalMs = 1000;

/**
 * The outermost call of every executor. Runs `work`; a `SlimGoError` is printed for people and becomes
 * `{ success: false }`, anything else is a bug and passes with its stack.
 *
 * `signal` fires at the first SIGINT, SIGTERM or SIGHUP, or when Nx is gone, so that `work` can stop its processes and remove
 * what is half written; work that was interrupted is never a success. Another signal a second or more later has its usual
 * effect: the process dies.
 */
export async function runExecutor<Result extends { readonly success: boolean }>(
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | { success: false }> {
  const controller = new AbortController();
  // A batch has as many that wait for it as it has tasks.
  setMaxListeners(0, controller.signal);
  let firstAtMs: number | undefined;
  const interrupt = (name: NodeJS.Signals): void => {
    if (firstAtMs === undefined) {
      firstAtMs = performance.now();
      controller.abort(new SlimGoError('ABORTED', `Interrupted by ${name}.`));
    } else if (performance.now() - firstAtMs >= sameSignalMs) {
      stopListening();
      process.kill(process.pid, name);
    }
  };
  // A killed Nx sends nothing: its end of the channel is closed.
  const disconnected = (): void => controller.abort(new SlimGoError('ABORTED', 'Interrupted: Nx has ended.'));
  const stopListening = (): void => {
    for (const name of signals) process.removeListener(name, interrupt);
    process.removeListener('disconnect', disconnected);
  };
  for (const name of signals) process.on(name, interrupt);
  process.on('disconnect', disconnected);
  try {
    const result = await work(controller.signal);
    return controller.signal.aborted ? { success: false } : result;
  } catch (error) {
    if (controller.signal.aborted && (error as Error).name === 'AbortError') {
      reportError(controller.signal.reason as SlimGoError);
    } else if (error instanceof SlimGoError) {
      reportError(error);
    } else {
      throw error;
    }
    return { success: false };
  } finally {
    stopListening();
  }
}

export function reportError(error: SlimGoError): void {
  process.stderr.write(formatError(error));
}

/** The message, and under it the indented hint. */
export function formatError({ message, hint }: SlimGoError): string {
  return `${colour('red', message)}\n${hint === undefined ? '' : `${hint.replace(/^/gm, '  ')}\n`}`;
}

/** A warning in the same form; it fails nothing. */
export function formatWarning(message: string, hint: string): string {
  return `${colour('yellow', 'warning:')} ${message}\n${hint.replace(/^/gm, '  ')}\n`;
}

/**
 * On a terminal, unless NO_COLOR is set. Nx gives every task FORCE_COLOR=true, wherever its output goes, so that only a
 * number there is a wish of the user. https://no-color.org, https://force-color.org
 */
function colour(name: 'red' | 'yellow', text: string): string {
  const { NO_COLOR, FORCE_COLOR = '' } = process.env;
  const isWanted = /^[0-3]$/.test(FORCE_COLOR) ? FORCE_COLOR !== '0' : process.stderr.isTTY;
  return isWanted && !NO_COLOR ? styleText(name, text, { validateStream: false }) : text;
}

/** `1.39 MB`, `412 kB`: decimal units, as `docker images` prints them. */
export function formatSize(sizeBytes: number): string {
  if (sizeBytes < 1000) return `${sizeBytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = sizeBytes / 1000;
  let unit = 0;
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000;
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

/** `87 ms`, `1.4 s`, `2 min 5 s`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 999.5) return `${Math.round(durationMs)} ms`;
  if (durationMs < 59_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

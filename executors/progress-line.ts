import { formatDuration, formatSize } from './report';

const everyMs = 100;
const clearLine = '\r\u001b[K';

interface Terminal {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** One line of a terminal that says how far something is; nothing where the output is no terminal. */
export class ProgressLine {
  private doneBytes = 0;
  private shownAt = 0;

  constructor(
    private readonly what: string,
    private readonly totalBytes: number,
    private readonly terminal: Terminal = process.stdout,
  ) {}

  add(sizeBytes: number): void {
    this.doneBytes += sizeBytes;
    const now = performance.now();
    if (!this.terminal.isTTY || now - this.shownAt < everyMs) return;
    this.shownAt = now;
    const done = Math.min(this.doneBytes, this.totalBytes);
    const percent = Math.floor((100 * done) / this.totalBytes);
    this.terminal.write(`${clearLine}${this.what}  ${formatSize(done)} of ${formatSize(this.totalBytes)}  ${percent}%`);
  }

  /** Takes the line away, for what is printed next. */
  clear(): void {
    if (this.terminal.isTTY && this.shownAt > 0) this.terminal.write(clearLine);
    this.shownAt = 0;
  }
}

const quietMs = 1000;

/**
 * One line of a terminal that says what is waited for and how long nothing was printed, from a second on; nothing where the
 * output is no terminal.
 */
export class WaitingLine {
  private quietSince = performance.now();
  private readonly timer: NodeJS.Timeout | undefined;
  private isShown = false;

  constructor(
    private readonly what: () => string,
    private readonly terminal: Terminal = process.stdout,
  ) {
    if (!terminal.isTTY) return;
    this.timer = setInterval(() => this.show(), quietMs);
    this.timer.unref();
  }

  /** Takes the line away, for what is printed next. It comes again. */
  clear(): void {
    if (this.isShown) this.terminal.write(clearLine);
    this.isShown = false;
    this.quietSince = performance.now();
  }

  /** Takes it away for good. */
  end(): void {
    clearInterval(this.timer);
    this.clear();
  }

  private show(): void {
    const sinceMs = performance.now() - this.quietSince;
    if (sinceMs < quietMs) return;
    this.terminal.write(`${clearLine}${this.what()}  ${formatDuration(sinceMs)}`);
    this.isShown = true;
  }
}

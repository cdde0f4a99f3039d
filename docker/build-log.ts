import { StringDecoder } from 'node:string_decoder';
import { decodeBuildStatus, type Vertex } from './buildkit';
import { failureOf, type ProgressEvent } from './progress';

/** An instruction of a Dockerfile: `RUN exit 3` in line 4. Continuation lines are part of `text`. */
export interface SourceInstruction {
  readonly line: number;
  readonly text: string;
}

/** How many lines of a failed step's output its error repeats. */
const repeatedLines = 30;

/**
 * Reads either builder's events: writes steps and output as lines, and knows after a failure which step it was.
 * The classic builder's lines are handed on as they are; BuildKit's have the form of `docker build --progress=plain`.
 */
export class BuildLog {
  /** Whether the builder has got past reading the context. */
  begun = false;
  /** What went wrong, in the engine's words. */
  failure: string | undefined;
  /** `RUN exit 3`, where a step failed. */
  failedStep: string | undefined;
  failedLine: number | undefined;
  /** The last lines that the failed step wrote. */
  failedOutput: readonly string[] = [];

  private readonly classic = new Output();
  private classicStep: { readonly index: number; readonly text: string } | undefined;
  private readonly vertexes = new Map<string, ShownVertex>();

  constructor(
    private readonly onLine: (line: string) => void,
    private readonly source: { readonly instructions: readonly SourceInstruction[] } | undefined,
  ) {}

  add(event: ProgressEvent): void {
    const failure = failureOf(event);
    if (failure !== undefined) this.fail(failure);
    else if (event.stream !== undefined) this.addClassic(this.classic.add(unpainted(event.stream)));
    else if (event.id === 'moby.buildkit.trace' && typeof event.aux === 'string') this.addBuildKit(event.aux);
    // Classic pulls of a base image: one line per layer and state, without the progress bars.
    else if (event.status !== undefined && !/^(Downloading|Extracting|Waiting)$/.test(event.status)) {
      this.onLine(event.id === undefined ? event.status : `${event.id}: ${event.status}`);
    }
  }

  /** Writes what has no newline yet. */
  end(): void {
    this.addClassic(this.classic.end());
    for (const vertex of this.vertexes.values()) this.write(vertex, vertex.output.end());
  }

  fail(failure: string): void {
    this.end();
    this.failure = failure;
    const broken = [...this.vertexes.values()].find(({ error }) => error !== '' && !/context canceled/.test(error));
    if (broken !== undefined) {
      this.failedStep = broken.name.replace(/^\[[^\]]*\] /, '');
      this.failedLine = this.lineOf(this.failedStep);
      this.failedOutput = broken.output.last;
    } else if (this.classicStep !== undefined) {
      this.failedStep = this.classicStep.text;
      this.failedLine =
        this.lineOf(this.classicStep.text) ?? this.source?.instructions[this.classicStep.index - 1]?.line;
      this.failedOutput = this.classic.last.filter((line) => !/^ ---> |^Removing intermediate container /.test(line));
    }
    this.failedLine ??= Number(/(?:parse error )?(?:on )?line (\d+):/.exec(failure)?.[1]) || undefined;
  }

  /** Undefined too where two instructions read the same: no line is better than a wrong one. */
  private lineOf(step: string): number | undefined {
    const same = (this.source?.instructions ?? []).filter(({ text }) => flat(text) === flat(step));
    return same.length === 1 ? same[0]?.line : undefined;
  }

  private addClassic(lines: readonly string[]): void {
    for (const line of lines) {
      // Platform arguments are passed to every build, as BuildKit does; that a Dockerfile doesn't use them is no news.
      if (
        /^\[Warning\] one or more build[- ]args (?:were not consumed: )?\[((TARGET|BUILD)(PLATFORM|OS|ARCH|VARIANT) ?)*\]/i.test(
          line,
        )
      )
        continue;
      const step = /^Step (\d+)\/\d+ : (.*)$/.exec(line);
      if (step) {
        this.begun = true;
        this.classicStep = { index: Number(step[1]), text: step[2] ?? '' };
        this.classic.last.length = 0;
      } else {
        this.classic.remember(line);
      }
      if (line !== '') this.onLine(line);
    }
  }

  private addBuildKit(aux: string): void {
    const { vertexes, logs } = decodeBuildStatus(aux);
    for (const vertex of vertexes) this.addVertex(vertex);
    for (const { vertex, text } of logs) {
      const shown = this.vertexes.get(vertex);
      if (shown) this.write(shown, shown.output.add(text));
    }
  }

  private addVertex(vertex: Vertex): void {
    let shown = this.vertexes.get(vertex.digest);
    if (shown === undefined) {
      if (vertex.startedMs === undefined) return;
      shown = { number: this.vertexes.size + 1, name: vertex.name, error: '', done: false, output: new Output() };
      this.vertexes.set(vertex.digest, shown);
      this.onLine(`#${shown.number} ${vertex.name}`);
    }
    shown.error = vertex.error;
    const readsContext = vertex.name === '[internal] load remote build context';
    if (vertex.error === '' && (!readsContext || vertex.completedMs !== undefined)) this.begun = true;
    if (vertex.completedMs === undefined || shown.done) return;
    shown.done = true;
    this.write(shown, shown.output.end());
    const seconds = ((vertex.completedMs - (vertex.startedMs ?? vertex.completedMs)) / 1000).toFixed(1);
    const state = vertex.error !== '' ? `ERROR: ${vertex.error}` : vertex.cached ? 'CACHED' : `DONE ${seconds}s`;
    this.onLine(`#${shown.number} ${state}`);
  }

  private write(vertex: ShownVertex, lines: readonly string[]): void {
    for (const line of lines) {
      vertex.output.remember(line);
      this.onLine(`#${vertex.number} ${line}`);
    }
  }
}

interface ShownVertex {
  readonly number: number;
  readonly name: string;
  error: string;
  done: boolean;
  readonly output: Output;
}

/** Makes lines of pieces, and keeps the last ones. */
class Output {
  readonly last: string[] = [];
  private rest = '';
  private readonly decoder = new StringDecoder('utf8');

  add(piece: string | Buffer): readonly string[] {
    const lines = (this.rest + (typeof piece === 'string' ? piece : this.decoder.write(piece))).split('\n');
    this.rest = lines.pop() ?? '';
    return lines.map((line) => line.replace(/\r$/, ''));
  }

  end(): readonly string[] {
    const lines = this.rest === '' ? [] : [this.rest];
    this.rest = '';
    return lines;
  }

  remember(line: string): void {
    this.last.push(line);
    if (this.last.length > repeatedLines) this.last.shift();
  }
}

/** The classic builder wraps each piece of a step's stderr in red, whoever reads it. */
function unpainted(piece: string): string {
  const [red, plain] = ['\u001b[91m', '\u001b[0m'];
  return piece.startsWith(red) && piece.endsWith(plain) ? piece.slice(red.length, -plain.length) : piece;
}

function flat(text: string): string {
  return text
    .replace(/\\\r?\n/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

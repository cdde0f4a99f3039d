import { SlimGoError } from '../errors';

/** Statements from one line of source to another, and how often they ran. https://pkg.go.dev/golang.org/x/tools/cover#ProfileBlock */
interface Block {
  readonly startLine: number;
  readonly endLine: number;
  readonly statements: number;
  readonly count: number;
}

/** Content of a -coverprofile. */
export interface CoverProfile {
  readonly mode: string;
  /** By file, which is named `<import path>/<name>`; each part of it once, as `go tool cover` counts. */
  readonly files: ReadonlyMap<string, readonly Block[]>;
  readonly lines: readonly string[];
}

/** @throws GO_TEST_FAILED for what is no cover profile */
export function parseProfile(text: string): CoverProfile {
  const [header, ...lines] = text.split('\n').filter((line) => line !== '');
  const mode = /^mode: (\w+)$/.exec(header ?? 'mode: set')?.[1];
  const files = new Map<string, Map<string, Block>>();
  for (const line of lines) {
    const match = /^(.+):((\d+)\.\d+,(\d+)\.\d+) (\d+) (\d+)$/.exec(line);
    if (!match) throw new SlimGoError('GO_TEST_FAILED', `The cover profile has a line "${line}".`);
    const [, file, place, startLine, endLine, statements] = match as unknown as [string, string, string, ...string[]];
    const blocks = files.get(file) ?? new Map<string, Block>();
    files.set(file, blocks);
    // With -coverpkg each test binary tells of each package.
    const count = Number(match[6]) + (blocks.get(place)?.count ?? 0);
    blocks.set(place, {
      startLine: Number(startLine),
      endLine: Number(endLine),
      statements: Number(statements),
      count,
    });
  }
  if (mode === undefined) throw new SlimGoError('GO_TEST_FAILED', `The cover profile begins with "${header}".`);
  return { mode, files: new Map([...files].map(([file, blocks]) => [file, [...blocks.values()]])), lines };
}

/** The part of a profile that speaks of packages that `owns` accepts, as go would have written it. */
export function profileOf({ mode, lines }: CoverProfile, owns: (importPath: string) => boolean): string {
  return [`mode: ${mode}`, ...lines.filter((line) => owns(line.slice(0, line.lastIndexOf('/')))), ''].join('\n');
}

/** Percent of the statements that ran, as `go tool cover -func` says in its last line; undefined where there are none. */
export function coveredPercent({ files }: CoverProfile): number | undefined {
  let [total, covered] = [0, 0];
  for (const { statements, count } of [...files.values()].flat()) {
    total += statements;
    if (count > 0) covered += statements;
  }
  return total === 0 ? undefined : (100 * covered) / total;
}

/**
 * The profile as an lcov tracefile: a line ran as often as that of its blocks that ran most.
 * https://manpages.debian.org/lcov/geninfo.1.en.html#FILES
 * @param pathOf the name for `SF` of a file that the profile names by its import path
 */
export function lcov({ files }: CoverProfile, pathOf: (file: string) => string): string {
  return [...files]
    .map(([file, blocks]) => {
      const counts = new Map<number, number>();
      for (const { startLine, endLine, count } of blocks) {
        for (let line = startLine; line <= endLine; line++) counts.set(line, Math.max(count, counts.get(line) ?? 0));
      }
      const lines = [...counts].sort(([a], [b]) => a - b);
      return [
        'TN:',
        `SF:${pathOf(file)}`,
        ...lines.map(([line, count]) => `DA:${line},${count}`),
        `LF:${lines.length}`,
        `LH:${lines.filter(([, count]) => count > 0).length}`,
        'end_of_record\n',
      ].join('\n');
    })
    .join('');
}

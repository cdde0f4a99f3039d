import { SlimGoError } from '../errors';
import type { Platform } from '../platform';

/** What a build is made for, as far as it decides which files belong to it. */
export interface BuildContext {
  readonly platform: Platform;
  /** `go build -tags`. */
  readonly tags: readonly string[];
  /** CGO_ENABLED. */
  readonly cgo: boolean;
  /** The toolchain's minor version, `24` for Go 1.24: `go1.1` to `go1.24` hold. */
  readonly goMinor: number;
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** https://cs.opensource.google/go/go/+/refs/tags/go1.26.0:src/internal/syslist/syslist.go */
export const knownOperatingSystems = words(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos',
);
export const knownArchitectures = words(
  '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm',
);
const unixOperatingSystems = words(
  'aix android darwin dragonfly freebsd hurd illumos ios linux netbsd openbsd solaris',
);
const alsoNamed: Readonly<Record<string, string>> = { android: 'linux', illumos: 'solaris', ios: 'darwin' };

/**
 * Whether a tag holds. Tags that only the environment can tell (`goexperiment.*`, and `boringcrypto`, its old name) do
 * not, and architecture features (`amd64.v3`) do up to the platform's variant.
 * https://pkg.go.dev/cmd/go#hdr-Build_constraints
 */
function tagHolds(tag: string, context: BuildContext): boolean {
  const { os, architecture, variant } = context.platform;
  if (tag === os || tag === architecture || tag === alsoNamed[os] || tag === 'gc') return true;
  if (tag === 'unix' && unixOperatingSystems.has(os)) return true;
  if (tag === 'cgo' && context.cgo) return true;
  if (context.tags.includes(tag)) return true;
  const release = /^go1\.([1-9]\d*)$/.exec(tag);
  if (release) return Number(release[1]) <= context.goMinor;
  const feature = /^(amd64\.v|arm\.)([1-9])$/.exec(tag);
  if (!feature || (feature[1] === 'arm.' ? 'arm' : 'amd64') !== architecture) return false;
  const level = Number(variant?.slice(1) ?? (architecture === 'arm' ? 7 : 1));
  return Number(feature[2]) <= level && (architecture === 'amd64' || Number(feature[2]) >= 5);
}

/** Most files of a repository have one of a few names. */
const constraintsByName = new Map<string, NameConstraint>();

interface NameConstraint {
  readonly os?: string;
  readonly architecture?: string;
}

/** The GOOS and GOARCH that a file's name asks for; `name` has no folder. https://pkg.go.dev/cmd/go#hdr-Build_constraints */
function nameConstraint(name: string): NameConstraint {
  const constraint = readNameConstraint(name);
  constraintsByName.set(name, constraint);
  return constraint;
}

function readNameConstraint(name: string): NameConstraint {
  const stem = name.split('.', 1)[0]!;
  const parts = stem.split('_').slice(1);
  if (parts.at(-1) === 'test') parts.pop();
  const last = parts.at(-1) ?? '';
  const beforeLast = parts.at(-2) ?? '';
  if (knownArchitectures.has(last)) {
    return knownOperatingSystems.has(beforeLast) ? { os: beforeLast, architecture: last } : { architecture: last };
  }
  return knownOperatingSystems.has(last) ? { os: last } : {};
}

/** Whether the name of a file (without folder) lets it be part of a build. */
export function nameMatches(name: string, context: BuildContext): boolean {
  const { os, architecture } = constraintsByName.get(name) ?? nameConstraint(name);
  return (os === undefined || tagHolds(os, context)) && (architecture === undefined || tagHolds(architecture, context));
}

/** Whether all constraint lines of a file hold, as `scanGoFile` gives them. @throws GO_FILE_INVALID */
export function linesMatch(lines: readonly string[], context: BuildContext): boolean {
  return lines.every((line) =>
    line.startsWith('//go:build') ? evaluateGoBuild(line, context) : evaluatePlusBuild(line, context),
  );
}

/** https://pkg.go.dev/go/build/constraint */
function evaluateGoBuild(line: string, context: BuildContext): boolean {
  const invalid = (problem: string) => new SlimGoError('GO_FILE_INVALID', `"${line}": ${problem}.`);
  const tokens: string[] = [];
  let rest = line.slice('//go:build'.length).trim();
  while (rest !== '') {
    const token = /^(?:[()!]|&&|\|\||[\p{L}\p{Nd}_.]+)/u.exec(rest)?.[0];
    if (token === undefined) throw invalid(`"${rest[0]}" can't stand there`);
    tokens.push(token);
    rest = rest.slice(token.length).replace(/^[ \t]+/, '');
  }
  let index = 0;
  const not = (): boolean => {
    const token = tokens[index++];
    if (token === '!') {
      if (tokens[index] === '!') throw invalid('double negation is not allowed');
      return !not();
    }
    if (token === '(') {
      const value = or();
      if (tokens[index++] !== ')') throw invalid('a parenthesis is not closed');
      return value;
    }
    if (token === undefined) throw invalid('it ends too early');
    if (!/^[\p{L}\p{Nd}_.]/u.test(token)) throw invalid(`"${token}" can't stand there`);
    return tagHolds(token, context);
  };
  const and = (): boolean => {
    let value = not();
    while (tokens[index] === '&&') {
      index++;
      value = not() && value;
    }
    return value;
  };
  const or = (): boolean => {
    let value = and();
    while (tokens[index] === '||') {
      index++;
      value = and() || value;
    }
    return value;
  };
  const value = or();
  if (index < tokens.length) throw invalid(`"${tokens[index]}" can't stand there`);
  return value;
}

/** The form before Go 1.17: spaces mean or, commas and, lines and. What is malformed never holds, as in Go. */
function evaluatePlusBuild(line: string, context: BuildContext): boolean {
  const clauses = line
    .replace(/^\/\/\s*\+build/, '')
    .split(/\s+/)
    .filter((clause) => clause !== '');
  return clauses.some((clause) =>
    clause.split(',').every((term) => {
      const negated = term.startsWith('!');
      const tag = negated ? term.slice(1) : term;
      if (term === '!' || term.startsWith('!!')) return tagHolds('ignore', context);
      return tagHolds(/^[\p{L}\p{Nd}_.]+$/u.test(tag) ? tag : 'ignore', context) !== negated;
    }),
  );
}

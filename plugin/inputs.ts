import { posix } from 'node:path';
import type { TargetConfiguration } from '@nx/devkit';
import { type Closure, compiledExtensions } from '../go/closure';
import { knownArchitectures, knownOperatingSystems, nameMatches } from '../go/constraint';
import { type Deps, packageKey } from '../go/deps';
import { inFolder, isWithin } from '../go/packages';
import type { Platform } from '../platform';

/** One entry of a target's `inputs`. https://nx.dev/docs/reference/inputs */
export type Input = NonNullable<TargetConfiguration['inputs']>[number];

const compiled = `{${compiledExtensions}}`;

/**
 * What the go command's result depends on besides files. Printed by Go itself, for `go env -w` counts as well as the
 * environment does; where Go is missing the command still succeeds, in a POSIX shell and in cmd.exe. Nothing in it
 * differs between two machines that compile the same: no paths, no host platform.
 */
const toolchain: readonly Input[] = [
  {
    runtime:
      'go env GOVERSION GOTOOLCHAIN GOFLAGS GOEXPERIMENT GOAMD64 GOARM GOARM64 GO386 GOMIPS GOMIPS64 GOPPC64 GORISCV64 GOWASM GOFIPS140 || echo no go',
  },
  ...['GOOS', 'GOARCH', 'GOWORK', 'CGO_ENABLED'].map((env) => ({ env })),
];

/** The C toolchain, asked for only where cgo may be on: its defaults differ between operating systems. */
const cToolchain: readonly Input[] = [
  {
    runtime:
      'go env CGO_ENABLED CC CXX FC AR PKG_CONFIG CGO_CFLAGS CGO_CPPFLAGS CGO_CXXFLAGS CGO_FFLAGS CGO_LDFLAGS || echo no go',
  },
];

const nothingFromNpm: Input = { externalDependencies: [] };

/** Inputs of a target that compiles a closure. */
export function compileInputs(
  closure: Closure,
  options: {
    readonly platforms: readonly Platform[];
    readonly tests: boolean;
    readonly cgo: boolean;
    /** From moduleInputs. */
    readonly modules: readonly Input[];
    /** Some file is called `x.y_z.go`: the go command takes no platform from that, a pattern would. */
    readonly dottedNames: boolean;
  },
): Input[] {
  const exact = !options.tests && !options.dottedNames && closure.brokenDirs.length === 0;
  const leftOut = exact ? namesLeftOut(options.platforms) : options.tests ? [] : ['*_test.go'];
  // An embedded file may well be called x_test.go or x_windows.go: there nothing is left out by its name.
  const bases = closure.embeds.flatMap(embedBase);
  const namedDirs = closure.dirs.filter((dir) => !bases.some((base) => isWithin(dir, base)));
  return [
    ...inFolders(closure.dirs, `*.${compiled}`),
    ...(closure.embeds.length > 0
      ? leftOut.flatMap((name) => inFolders(namedDirs, name))
      : leftOut.map((name) => `{workspaceRoot}/**/${name}`)
    ).map((pattern) => `!${pattern}`),
    ...unique(closure.embeds.flatMap(embedded)),
    ...inFolders(closure.brokenDirs, '**/*'),
    ...options.modules,
    // A file that is not there adds nothing to a hash, and no build works as long as it is not: no cached one may hide that.
    ...(closure.absent.length > 0
      ? [{ runtime: `echo no go.mod in ${closure.absent.map((dir) => dir.replace(/[^\w./-]/g, '_')).join(' ')}` }]
      : []),
    ...toolchain,
    ...(options.cgo ? cToolchain : []),
    nothingFromNpm,
  ];
}

/**
 * Inputs for the versions of a closure's third-party code: where a go.deps.json knows all of it, the fields of its packages,
 * so that another module's new version changes nothing; otherwise the module files as a whole.
 * @param known content of a go.deps.json that is true to the module files `files`, with its path
 */
export function moduleInputs(
  closure: Closure,
  known: { readonly path: string; readonly deps: Deps; readonly files: ReadonlySet<string> } | undefined,
): Input[] {
  const keys = closure.external.map(packageKey);
  if (!known || keys.some((key) => !Object.hasOwn(known.deps.packages, key))) return wholeFiles(closure.moduleFiles);
  return [
    { json: `{workspaceRoot}/${known.path}`, fields: ['go', ...keys.map((key) => `packages.${key}`)] },
    // Those that are not there yet.
    ...wholeFiles(closure.moduleFiles.filter((file) => !known.files.has(file))),
  ];
}

/** So many module files are named by what they are called: each build of a go.work would have to list them all. */
const manyFiles = 200;

export function wholeFiles(files: readonly string[]): Input[] {
  const known = wholeInputs.get(files);
  if (known) return known;
  const inputs =
    files.length <= manyFiles
      ? braced(files.map(globLiteral)).map((pattern) => `{workspaceRoot}/${pattern}`)
      : [`{workspaceRoot}/**/{${unique(files.map((file) => posix.basename(file))).sort()}}`];
  wholeInputs.set(files, inputs);
  return inputs;
}

/** All builds of a go.work with third-party code share one list. */
const wholeInputs = new WeakMap<readonly string[], Input[]>();

/** Everything in the packages' folders, and their testdata: what a test may read. */
export function testFileInputs(dirs: readonly string[]): Input[] {
  return [...inFolders(dirs, '*'), ...inFolders(dirs, 'testdata/**/*')];
}

/** Patterns of the names that no build for these platforms takes: tests, other systems, other architectures. */
function namesLeftOut(platforms: readonly Platform[]): string[] {
  const foreign = (name: string) =>
    !platforms.some((platform) => nameMatches(`x_${name}.go`, { platform, tags: [], cgo: true, goMinor: 0 }));
  const systems = [...knownOperatingSystems].filter(foreign);
  const architectures = [...knownArchitectures].filter(foreign);
  return [
    '*_test.go',
    `*_{${[...systems, ...architectures].join(',')}}.go`,
    `*_{${systems.join(',')}}_{${[...knownArchitectures].join(',')}}.go`,
  ];
}

/** A go:embed pattern as filesets: what it matches, and where that is a folder, all below. https://pkg.go.dev/embed */
function embedded({ dir, pattern }: { readonly dir: string; readonly pattern: string }): string[] {
  const path = pattern.replace(/^all:/, '');
  if (path === '.') return [`{workspaceRoot}/${inFolder(globLiteral(dir), '**/*')}`];
  const base = `{workspaceRoot}/${inFolder(globLiteral(dir), pathPattern(path))}`;
  return [base, `${base}/**/*`];
}

/** The folder below which a pattern may embed Go files; none where its last part says that they are of another kind. */
function embedBase({ dir, pattern }: { readonly dir: string; readonly pattern: string }): string[] {
  const parts = pattern.replace(/^all:/, '').split('/');
  const wildcard = parts.findIndex((part) => /[*?[\\]/.test(part));
  if (wildcard >= 0 && wildcard === parts.length - 1 && /^\*\.(?!go$)\w+$/.test(parts[wildcard]!)) return [];
  const literal = (wildcard < 0 ? parts : parts.slice(0, wildcard)).filter((part) => part !== '.').join('/');
  // A file of the package's own folder is as good as the folder.
  return [literal.endsWith('.go') ? inFolder(dir, literal).replace(/(^|\/)[^/]*$/, '') : inFolder(dir, literal)];
}

/**
 * A `path.Match` or Docker pattern in Nx's globs. Classes, escapes and what means something to Nx alone become `?`,
 * which matches a little more: never less.
 */
export function pathPattern(pattern: string): string {
  return pattern
    .replace(/\\./gu, '?')
    .replace(/\[\^?[^\]]*\]/g, '?')
    .replace(/[{}[\],!()@+|\\^$]/g, '?');
}

/** A path as a glob that matches it. */
export function globLiteral(path: string): string {
  return path.replace(/[*?{}[\],!()@+|\\^$]/g, '?');
}

/** `name` in each of the folders: as one brace pattern, for hashing costs by the pattern. */
export function inFolders(dirs: readonly string[], name: string): string[] {
  const root = dirs.includes('') ? [`{workspaceRoot}/${name}`] : [];
  const folders = dirs.filter((dir) => dir !== '').map(globLiteral);
  return [...root, ...braced(folders).map((pattern) => `{workspaceRoot}/${pattern}/${name}`)];
}

function braced(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  return paths.length === 1 ? [paths[0]!] : [`{${paths.join(',')}}`];
}

function unique(patterns: readonly string[]): string[] {
  return [...new Set(patterns)];
}

/** Nx 22 reads no pattern with two groups of alternatives: the first ones become patterns of their own. */
export function withOneGroup(input: Input): Input[] {
  if (typeof input !== 'string') return [input];
  const [first, second] = [...input.matchAll(/\{([^{}]*)\}/g)].filter(
    ([group]) => !/^\{(?:workspace|project)Root\}$/.test(group),
  );
  if (!first || !second) return [input];
  const [before, after] = [input.slice(0, first.index), input.slice(first.index + first[0].length)];
  return first[1]!.split(',').flatMap((alternative) => withOneGroup(before + alternative + after));
}

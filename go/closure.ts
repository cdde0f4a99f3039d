import { formatPlatform, type Platform } from '../platform';
import { type BuildContext, linesMatch, nameMatches } from './constraint';
import {
  type GoFile,
  type GoTree,
  inFolder,
  type Module,
  type ModuleContext,
  minorVersion,
  type Package,
  versionFiles,
} from './packages';

/** What the go command may compile. https://pkg.go.dev/cmd/go#hdr-File_types */
export const compiledExtensions: readonly string[] =
  'go s S sx c cc cpp cxx m h hh hpp hxx f F for f90 swig swigcxx syso'.split(' ');

/** What is built, as far as it decides which files take part. */
export interface ClosureRequest {
  /** Folders of the packages that are named to the go command; all of one module. */
  readonly dirs: readonly string[];
  readonly module: Module;
  readonly platforms: readonly Platform[];
  /** CGO_ENABLED; undefined where the environment decides, which takes both into account. */
  readonly cgo: boolean | undefined;
  readonly tags: readonly string[];
  /** With the tests of `dirs` (not of what they import). */
  readonly tests: boolean;
  /** Whether a third-party package is known to reach nothing of the repository. Default: of none it is known. */
  readonly staysOutside?: (importPath: string) => boolean;
}

/** Everything of the repository that a build can depend on. Folders and files are as in `SourceTree`. */
export interface Closure {
  /** Folders whose Go, C and assembly files take part; with those that are imported and don't exist. Sorted. */
  readonly dirs: readonly string[];
  /** Those of `dirs` that take part only if third-party code imports them, which the graph can't see. Sorted. */
  readonly guessedDirs: readonly string[];
  /** Folders that hold a file which could not be read: everything in them takes part. */
  readonly brokenDirs: readonly string[];
  readonly embeds: readonly { readonly dir: string; readonly pattern: string }[];
  /** go.mod, go.sum, go.work, go.work.sum, vendor/modules.txt; also such as don't exist, for they may appear. Sorted. */
  readonly moduleFiles: readonly string[];
  /** Folders of modules that are named and not there: see `ModuleContext.absent`. */
  readonly absent: readonly string[];
  /** Import paths of packages outside the repository and the standard library. Sorted; none that is vendored. */
  readonly external: readonly string[];
}

/** One import between two folders of the repository. */
export interface Edge {
  readonly sourceFile: string;
  readonly targetDir: string;
}

/** The packages that `request.dirs` are made of, and what they embed. Equal to `go list -deps`, for all platforms together. */
export function closureOf(tree: GoTree, request: ClosureRequest): Closure {
  const context = tree.context(request.module);
  const shares = sharesOf(tree, context, request);
  const tested = new Set(request.tests ? request.dirs : []);
  const seen = new Set<string>();
  const broken = new Set<string>();
  const external = new Set<string>();
  const modules = new Set<Module>([request.module]);
  const embeds: { dir: string; pattern: string }[] = [];
  const follow = (dirs: readonly string[]): void => {
    const queue = dirs.filter((dir) => !seen.has(dir));
    for (const dir of queue) seen.add(dir);
    for (let dir = queue.pop(); dir !== undefined; dir = queue.pop()) {
      const share = shares.of(dir, tested.has(dir));
      if (share.isBroken) broken.add(dir);
      for (const pattern of share.embeds) embeds.push({ dir, pattern });
      for (const path of share.external) external.add(path);
      for (const target of share.local) {
        if (target.module) modules.add(target.module);
        if (seen.has(target.dir)) continue;
        seen.add(target.dir);
        queue.push(target.dir);
      }
    }
  };
  follow(request.dirs);
  const known = new Set(seen);
  if ([...external].some((path) => !request.staysOutside?.(path))) follow(openToOthers(tree, context, request.module));
  return {
    dirs: [...seen].sort(),
    guessedDirs: [...seen].filter((dir) => !known.has(dir)).sort(),
    brokenDirs: [...broken].sort(),
    embeds: embeds.sort((a, b) => (a.dir + a.pattern < b.dir + b.pattern ? -1 : 1)),
    // What third-party code is compiled is decided by every module that takes part in choosing versions.
    moduleFiles:
      external.size > 0 || context.vendorDir !== undefined ? allModuleFiles(context) : moduleFiles(context, modules),
    absent: context.absent,
    external: [...external].sort(),
  };
}

function allModuleFiles(context: ModuleContext): readonly string[] {
  const known = knownModuleFiles.get(context);
  if (known) return known;
  const files = new Set([...moduleFiles(context, context.modules), ...versionFiles(context), 'go.work.sum']);
  const found = [...files].sort();
  knownModuleFiles.set(context, found);
  return found;
}

const knownModuleFiles = new WeakMap<ModuleContext, readonly string[]>();

/** Of a build that third-party code takes no part in: `modules` are those it has packages of. */
function moduleFiles({ workDir, mains }: ModuleContext, modules: Iterable<Module>): readonly string[] {
  const files = new Set(['go.work', inFolder(inFolder(workDir ?? mains[0]!.dir, 'vendor'), 'modules.txt')]);
  if (workDir !== undefined) files.add(inFolder(workDir, 'go.work'));
  for (const { dir } of modules) files.add(inFolder(dir, 'go.mod')).add(inFolder(dir, 'go.sum'));
  return [...files].sort();
}

/** `v0.0.0`, or what the go command writes for it: such a version was never published, only a replacement makes it exist. */
const unpublished = /^v0\.0\.0(?:-00010101000000-000000000000)?$/;

/**
 * Packages of the repository that third-party code in a build of `module` may import: all of the local modules that it
 * requires at a version which others can require as well. Without them a change that comes back through a dependency
 * would leave a stale result. Go 1.17 and later name in go.mod each module that any dependency needs.
 */
function openToOthers(tree: GoTree, context: ModuleContext, module: Module): readonly string[] {
  if (context.vendorDir !== undefined) return [];
  const known = open.get(module);
  if (known) return known;
  const found = module.file.requires.flatMap(({ path, version }) => {
    const local = context.locals.get(path);
    if (!local || local === module || unpublished.test(version)) return [];
    return tree.packageDirs(local).filter((dir) => packageName(tree, dir) !== 'main');
  });
  open.set(module, found);
  return found;
}

const open = new WeakMap<Module, readonly string[]>();

/** What one package brings into a closure. */
interface Share {
  readonly isBroken: boolean;
  readonly embeds: readonly string[];
  readonly local: readonly { readonly dir: string; readonly module: Module | undefined }[];
  readonly external: readonly string[];
}

/** The shares of all packages in one kind of build. Most packages are in many closures: each is worked out once. */
class BuildShares {
  private readonly plain = new Map<string, Share>();
  private readonly withTests = new Map<string, Share>();
  private readonly builds: readonly BuildContext[];

  constructor(
    private readonly tree: GoTree,
    private readonly context: ModuleContext,
    request: ClosureRequest,
  ) {
    this.builds = buildContexts(request);
  }

  of(dir: string, withTests: boolean): Share {
    const known = withTests ? this.withTests : this.plain;
    let share = known.get(dir);
    if (!share) {
      share = newShare(this.tree, this.context, this.builds, dir, withTests);
      known.set(dir, share);
    }
    return share;
  }
}

const knownShares = new WeakMap<ModuleContext, Map<string, BuildShares>>();

function sharesOf(tree: GoTree, context: ModuleContext, request: ClosureRequest): BuildShares {
  const known = knownShares.get(context) ?? new Map<string, BuildShares>();
  knownShares.set(context, known);
  const { platforms, tags, cgo, module } = request;
  const key = `${platforms.map(formatPlatform)} ${tags} ${cgo} ${module.file.go?.version}`;
  const found = known.get(key) ?? new BuildShares(tree, context, request);
  known.set(key, found);
  return found;
}

function newShare(
  tree: GoTree,
  context: ModuleContext,
  builds: readonly BuildContext[],
  dir: string,
  withTests: boolean,
): Share {
  let isBroken = false;
  const embeds = new Set<string>();
  const external = new Set<string>();
  const local = new Map<string, Module | undefined>();
  for (const file of tree.package(dir)?.files ?? []) {
    if (file.isTest && !withTests) continue;
    if (!file.header) {
      isBroken = true;
      continue;
    }
    if (!takesPart(file, dir, builds, tree)) continue;
    for (const { pattern } of file.header.embeds) embeds.add(pattern);
    for (const { path } of file.header.imports) {
      const target = tree.resolve(path, context);
      if (target.kind === 'external') external.add(path);
      else if (target.kind !== 'standard') local.set(target.dir, target.kind === 'local' ? target.module : undefined);
    }
  }
  return {
    isBroken,
    embeds: [...embeds],
    local: [...local].map(([target, module]) => ({ dir: target, module })),
    external: [...external],
  };
}

/** Every import of one folder of the repository by a package in another, tests and all platforms included. */
export function edgesOf(tree: GoTree, found: Package, module: Module): Edge[] {
  const context = tree.context(module);
  return found.files.flatMap((file) =>
    (file.header?.imports ?? []).flatMap(({ path }) => {
      const target = tree.resolve(path, context);
      return target.kind === 'local' ? [{ sourceFile: inFolder(found.dir, file.name), targetDir: target.dir }] : [];
    }),
  );
}

const everywhere: readonly BuildContext[] = [
  'linux/amd64',
  'linux/arm64',
  'darwin/arm64',
  'windows/amd64',
  'freebsd/amd64',
  'js/wasm',
  'wasip1/wasm',
].flatMap((text) => {
  const [os, architecture] = text.split('/') as [string, string];
  return [true, false].flatMap((cgo) =>
    [16, Number.POSITIVE_INFINITY].map((goMinor) => ({ platform: { os, architecture }, tags: [], cgo, goMinor })),
  );
});

/** The name in the package clause of what a folder builds to on any usual platform; undefined for tests or nothing. */
export function packageName(tree: GoTree, dir: string): string | undefined {
  for (const file of tree.package(dir)?.files ?? []) {
    if (!file.isTest && file.header && takesPart(file, dir, everywhere, tree)) return file.header.packageName;
  }
  return undefined;
}

/**
 * Names of what a build takes from a folder of its closure: Go files by name and constraints, and all that can't be read;
 * C and assembly by name.
 * @param names of the files in the folder
 */
export function compiledFiles(tree: GoTree, request: ClosureRequest, dir: string, names: readonly string[]): string[] {
  const builds = buildContexts(request);
  const goFiles = new Map(tree.package(dir)?.files.map((file) => [file.name, file]));
  return names.filter((name) => {
    const file = goFiles.get(name);
    if (file) return !file.isTest && (!file.header || takesPart(file, dir, builds, tree));
    const isCompiled = !/^[._]/.test(name) && compiledExtensions.includes(name.slice(name.lastIndexOf('.') + 1));
    return isCompiled && !name.endsWith('.go') && builds.some((build) => nameMatches(name, build));
  });
}

function buildContexts(request: ClosureRequest): BuildContext[] {
  const minor = minorVersion(request.module.file.go?.version);
  const cgos = request.cgo === undefined ? [true, false] : [request.cgo];
  return request.platforms.flatMap((platform) =>
    cgos.flatMap((cgo) =>
      // The toolchain is at least what go.mod asks for, at most one that does not exist yet.
      [minor, Number.POSITIVE_INFINITY].map((goMinor) => ({ platform, cgo, tags: request.tags, goMinor })),
    ),
  );
}

/** Whether a file belongs to one of the builds; a constraint that can't be read counts as yes. */
function takesPart(file: GoFile, dir: string, builds: readonly BuildContext[], tree: GoTree): boolean {
  const header = file.header!;
  const usesC = header.imports.some(({ path }) => path === 'C');
  return builds.some((build) => {
    if (!nameMatches(file.name, build) || (usesC && !build.cgo)) return false;
    if (header.constraints.length === 0) return true;
    try {
      return linesMatch(header.constraints, build);
    } catch {
      const warning = `${inFolder(dir, file.name)}: its //go:build line can't be read.`;
      if (!tree.warnings.includes(warning)) tree.warnings.push(warning);
      return true;
    }
  });
}

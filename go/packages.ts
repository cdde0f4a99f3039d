import { posix } from 'node:path';
import { SlimGoError } from '../errors';
import { type ModFile, parseModFile, parseWorkFile, type Replacement, type WorkFile } from './modfile';
import { type GoFileHeader, scanGoFile } from './scan';
import { compareVersions } from './version';

/** A repository as the graph sees it. All paths are relative to its root, with `/` between; the root itself is ''. */
export interface SourceTree {
  /** Files that are not ignored by git: *.go, go.mod, go.work, vendor/modules.txt at least. */
  readonly files: readonly string[];
  /** A file's bytes; undefined where it can't be read (it was deleted meanwhile). */
  readonly read: (file: string) => Uint8Array | undefined;
  /** The header of a Go file, for who knows it without reading. Default: `scanGoFile` of what `read` gives. */
  readonly scan?: (file: string) => GoFileHeader;
}

/** A folder with a go.mod. */
export interface Module {
  readonly dir: string;
  /** The module path; for a broken go.mod '' (nothing resolves to it). */
  readonly path: string;
  readonly file: ModFile;
}

/** One Go file of a package. */
export interface GoFile {
  readonly name: string;
  readonly isTest: boolean;
  /** Undefined where the file could not be read as Go. */
  readonly header: GoFileHeader | undefined;
}

/** A folder with Go files. */
export interface Package {
  readonly dir: string;
  readonly files: readonly GoFile[];
}

/** Where an import leads. */
export type Resolution =
  | { readonly kind: 'local'; readonly dir: string; readonly module: Module | undefined }
  /** A package that should be in one of the local modules and is not; `dir` is where it would be. */
  | { readonly kind: 'missing'; readonly dir: string }
  | { readonly kind: 'external' }
  | { readonly kind: 'standard' };

/**
 * What decides how the imports of a build are resolved: the go command reads it from the main module or go.work. All
 * modules that one go.work uses share one.
 */
export interface ModuleContext {
  /** Whose `replace` lines count: the main module, or all that go.work uses. */
  readonly mains: readonly Module[];
  /** Folder of the go.work in force. */
  readonly workDir: string | undefined;
  readonly work: WorkFile | undefined;
  /** Modules whose sources stand in the repository, by the path that imports name. */
  readonly locals: ReadonlyMap<string, Module>;
  /** Mains and locals: they take part in choosing the versions of third-party modules. */
  readonly modules: readonly Module[];
  /** Folders of the repository that `use` or `replace` names and that hold no go.mod: as long as that is so, no build works. */
  readonly absent: readonly string[];
  /** Paths of the modules that `modules` require. */
  readonly required: ReadonlySet<string>;
  /** Folder of the vendored packages where the go command would use it. */
  readonly vendorDir: string | undefined;
  /** What was resolved before, by import path. */
  readonly resolved: Map<string, Resolution>;
}

/** `cmd` of `tools` and `` of ``: joins a folder and a name, where '' is the repository's root. */
export function inFolder(dir: string, name: string): string {
  if (dir === '') return name;
  return name === '' ? dir : `${dir}/${name}`;
}

function folderOf(file: string): string {
  const slash = file.lastIndexOf('/');
  return slash < 0 ? '' : file.slice(0, slash);
}

/** `a/b/c`, `a/b`, `a`. */
export function prefixes(path: string): string[] {
  const found = [path];
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    found.push(path.slice(0, slash));
  }
  return found;
}

/** Whether `dir` is `parent` or lies below it. */
export function isWithin(dir: string, parent: string): boolean {
  return parent === '' || dir === parent || dir.startsWith(`${parent}/`);
}

/**
 * Whether `./...` in a module's root names the packages of a folder, as far as the folder's path tells.
 * @param below the folder from the module's root
 * @param ignores as in `ModFile`
 */
export function isPackageFolder(below: string, ignores: readonly string[]): boolean {
  if (below.split('/').some((part) => /^[._]/.test(part) || part === 'testdata' || part === 'vendor')) return false;
  return !ignores.some((ignored) =>
    ignored.startsWith('./') ? isWithin(below, posix.join(ignored)) : `/${below}/`.includes(`/${ignored}/`),
  );
}

/**
 * The Go source of a repository, read without the go command: modules, packages and where imports lead. Files are read
 * when they are first asked for. What is broken costs only itself: it is described in `warnings`.
 */
export class GoTree {
  readonly modules = new Map<string, Module>();
  readonly warnings: string[] = [];
  private readonly works = new Map<string, WorkFile>();
  /** Names of the Go files in each folder. */
  private readonly folders = new Map<string, string[]>();
  private readonly packages = new Map<string, Package>();
  private readonly contexts = new Map<Module, ModuleContext>();
  private readonly owners = new Map<string, Module | undefined>();
  private byModule: Map<Module, string[]> | undefined;
  private readonly vendored = new Set<string>();

  constructor(private readonly source: SourceTree) {
    for (const file of source.files) {
      const dir = folderOf(file);
      const name = file.slice(dir === '' ? 0 : dir.length + 1);
      if (name.endsWith('.go')) {
        const names = this.folders.get(dir);
        if (names) names.push(name);
        else this.folders.set(dir, [name]);
      } else if (name === 'go.mod') {
        this.modules.set(dir, this.readModule(dir, file));
      } else if (name === 'go.work') {
        const work = this.readWork(file);
        if (work) this.works.set(dir, work);
      } else if (file === 'vendor/modules.txt' || file.endsWith('/vendor/modules.txt')) this.vendored.add(dir);
    }
  }

  /** The module whose source `dir` is: that of the nearest go.mod above, as the go command has it. */
  moduleOf(dir: string): Module | undefined {
    if (!this.owners.has(dir)) {
      this.owners.set(dir, this.modules.get(dir) ?? (dir === '' ? undefined : this.moduleOf(folderOf(dir))));
    }
    return this.owners.get(dir);
  }

  /** Folders that `./...` in a module's root names: without vendor, testdata, `_x`, `.x`, `ignore` and nested modules. */
  packageDirs(module: Module): string[] {
    return this.foldersOf(module)
      .filter((dir) => {
        if (!isPackageFolder(posix.relative(module.dir, dir), module.file.ignores)) return false;
        return this.package(dir)!.files.length > 0;
      })
      .sort();
  }

  private foldersOf(module: Module): readonly string[] {
    if (!this.byModule) {
      this.byModule = new Map();
      for (const dir of this.folders.keys()) {
        const owner = this.moduleOf(dir);
        if (!owner) continue;
        const dirs = this.byModule.get(owner);
        if (dirs) dirs.push(dir);
        else this.byModule.set(owner, [dir]);
      }
    }
    return this.byModule.get(module) ?? [];
  }

  /** The package in a folder, possibly without a file that the go command sees; undefined where there is no Go file. */
  package(dir: string): Package | undefined {
    const known = this.packages.get(dir);
    if (known) return known;
    const names = this.folders.get(dir);
    if (!names) return undefined;
    const files = names
      // The go command does not see them.
      .filter((name) => !/^[._]/.test(name))
      .sort()
      .map((name) => ({ name, isTest: name.endsWith('_test.go'), header: this.scan(inFolder(dir, name)) }))
      // A name that go/build keeps for documentation beside another package: such a file is never compiled.
      .filter(({ header }) => header?.packageName !== 'documentation');
    const found = { dir, files };
    this.packages.set(dir, found);
    return found;
  }

  /** How a build of a package in `module` resolves imports. https://go.dev/ref/mod#workspaces */
  context(module: Module): ModuleContext {
    const known = this.contexts.get(module);
    if (known) return known;
    const workDir = this.workDirOf(module);
    const work = workDir === undefined ? undefined : this.works.get(workDir);
    const found = this.newContext(work ? this.usedModules(work, workDir!) : [module], work, workDir);
    for (const main of found.mains) this.contexts.set(main, found);
    return found;
  }

  private newContext(mains: readonly Module[], work: WorkFile | undefined, workDir: string | undefined): ModuleContext {
    const locals = new Map(mains.flatMap((module) => (module.path === '' ? [] : [[module.path, module] as const])));
    const named = (work?.uses ?? []).map((use) => normalise(workDir!, use));
    for (const [path, { dir, line }] of replacementsOf({ mains, work, workDir }, selectedVersions(mains))) {
      if (line.newVersion !== undefined) continue;
      const target = normalise(dir, line.newPath);
      named.push(target);
      const module = this.modules.get(target ?? '\0');
      if (module && !locals.has(path)) locals.set(path, module);
    }
    const modules = [...new Set([...mains, ...locals.values()])];
    const vendorDir = inFolder(workDir ?? mains[0]!.dir, 'vendor');
    const goVersion = work ? work.go : mains[0]!.file.go;
    const vendors = this.vendored.has(vendorDir) && minorVersion(goVersion?.version) >= (work ? 22 : 14);
    return {
      mains,
      workDir,
      work,
      locals,
      modules,
      absent: named.filter((dir): dir is string => dir !== undefined && !this.modules.has(dir)),
      required: new Set(modules.flatMap(({ file }) => file.requires.map(({ path }) => path))),
      vendorDir: vendors ? vendorDir : undefined,
      resolved: new Map(),
    };
  }

  /** Follows an import by whole path segments, the longest module first. https://go.dev/ref/mod#resolve-pkg-mod */
  resolve(importPath: string, context: ModuleContext): Resolution {
    const known = context.resolved.get(importPath);
    if (known) return known;
    const found = this.newResolution(importPath, context);
    context.resolved.set(importPath, found);
    return found;
  }

  private newResolution(importPath: string, context: ModuleContext): Resolution {
    const paths = prefixes(importPath);
    if (context.vendorDir !== undefined && !context.mains.some(({ path }) => paths.includes(path))) {
      const dir = inFolder(context.vendorDir, importPath);
      if (this.folders.has(dir)) return { kind: 'local', dir, module: undefined };
    }
    const required = paths.find((path) => context.required.has(path));
    let missing: Resolution | undefined;
    for (const path of paths) {
      const module = context.locals.get(path);
      if (!module) continue;
      const dir = inFolder(module.dir, importPath.slice(path.length + 1));
      if (this.folders.has(dir) && this.moduleOf(dir) === module) return { kind: 'local', dir, module };
      if (required === undefined || required.length <= path.length) missing ??= { kind: 'missing', dir };
    }
    if (missing) return missing;
    return importPath.split('/', 1)[0]!.includes('.') || required !== undefined
      ? { kind: 'external' }
      : { kind: 'standard' };
  }

  private workDirOf(module: Module): string | undefined {
    for (let folder = module.dir; ; folder = folderOf(folder)) {
      const work = this.works.get(folder);
      // The go command refuses to build a module that the nearest go.work does not use; alone it can (GOWORK=off).
      if (work) return this.usedModules(work, folder).includes(module) ? folder : undefined;
      if (folder === '') return undefined;
    }
  }

  private usedModules(work: WorkFile, workDir: string): Module[] {
    return work.uses.flatMap((use) => this.modules.get(normalise(workDir, use) ?? '\0') ?? []);
  }

  private readModule(dir: string, file: string): Module {
    try {
      const parsed = parseModFile(this.text(file), file);
      return { dir, path: parsed.module, file: parsed };
    } catch (error) {
      this.warn(error);
      return { dir, path: '', file: { module: '', requires: [], replaces: [], ignores: [], godebugs: [], tools: [] } };
    }
  }

  private readWork(file: string): WorkFile | undefined {
    try {
      return parseWorkFile(this.text(file), file);
    } catch (error) {
      this.warn(error);
      return undefined;
    }
  }

  private scan(file: string): GoFileHeader | undefined {
    try {
      return this.source.scan?.(file) ?? scanGoFile(this.source.read(file) ?? new Uint8Array(), file);
    } catch (error) {
      this.warn(error);
      return undefined;
    }
  }

  private text(file: string): string {
    return Buffer.from(this.source.read(file) ?? []).toString('utf8');
  }

  private warn(error: unknown): void {
    if (!(error instanceof SlimGoError)) throw error;
    this.warnings.push(error.message);
  }
}

/** The highest version that any of the modules asks for, by module path. https://go.dev/ref/mod#minimal-version-selection */
export function selectedVersions(modules: readonly Module[]): Map<string, string> {
  const selected = new Map<string, string>();
  for (const { file } of modules) {
    for (const { path, version } of file.requires) {
      const former = selected.get(path);
      if (former === undefined || compareVersions(version, former) > 0) selected.set(path, version);
    }
  }
  return selected;
}

/**
 * The `replace` line that counts for each module path, with the folder of its file: go.work's before those of modules, in
 * each file that of the selected version before that of all. Where nobody requires a module, any line may be the one.
 * https://go.dev/ref/mod#go-mod-file-replace
 */
export function replacementsOf(
  { mains, work, workDir }: Pick<ModuleContext, 'mains' | 'work' | 'workDir'>,
  selected: ReadonlyMap<string, string>,
): ReadonlyMap<string, { readonly dir: string; readonly line: Replacement }> {
  const found = new Map<string, { readonly dir: string; readonly line: Replacement }>();
  const add = (dir: string, lines: readonly Replacement[]): void => {
    for (const line of lines) {
      const version = selected.get(line.oldPath);
      if (found.has(line.oldPath) || (version !== undefined && (line.oldVersion ?? version) !== version)) continue;
      found.set(line.oldPath, { dir, line });
    }
  };
  const exactFirst = (lines: readonly Replacement[]) => [
    ...lines.filter(({ oldVersion }) => oldVersion !== undefined),
    ...lines.filter(({ oldVersion }) => oldVersion === undefined),
  ];
  if (work && workDir !== undefined) add(workDir, exactFirst(work.replaces));
  for (const { dir, file } of mains) add(dir, exactFirst(file.replaces));
  return found;
}

/** go.mod, go.sum, go.work and go.work.sum of all modules that choose versions together. Sorted. */
export function versionFiles(context: ModuleContext): string[] {
  const { workDir } = context;
  return [
    ...context.modules.flatMap(({ dir }) => [inFolder(dir, 'go.mod'), inFolder(dir, 'go.sum')]),
    ...(workDir === undefined ? [] : [inFolder(workDir, 'go.work'), inFolder(workDir, 'go.work.sum')]),
  ].sort();
}

/** A folder of go.work or go.mod, from the repository's root; undefined where it lies outside or is absolute. */
function normalise(dir: string, path: string): string | undefined {
  const joined = posix.join(dir === '' ? '.' : dir, path.replaceAll('\\', '/')).replace(/\/$/, '');
  if (posix.isAbsolute(path) || /^[A-Za-z]:/.test(path) || joined === '..' || joined.startsWith('../'))
    return undefined;
  return joined === '.' ? '' : joined;
}

/** `1.24.3` and `1.24rc1` are 24; absent is what the go command takes for it: 1.16. */
export function minorVersion(version: string | undefined): number {
  return Number(/^1\.(\d+)/.exec(version ?? '')?.[1] ?? 16);
}

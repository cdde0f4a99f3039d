import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SlimGoError } from '../errors';
import { type ExternalModule, externalModules } from './external';
import { type GoTree, inFolder, type ModuleContext, prefixes, versionFiles } from './packages';
import { scanGoFile } from './scan';

/**
 * The file beside go.work, or the go.mod of a build without one, that says what each third-party package is made of. A
 * file of its own, for go.mod tells the versions of all programs and a task's input is a file or a field of a JSON file.
 */
export const depsFile = 'go.deps.json';

/** What a go.deps.json holds. */
export interface Deps {
  /** Digest of the module files that it was made from: where they are others now, nothing in it counts. */
  readonly moduleFiles: string;
  /** Digest of all in them that decides about every build: Go version, godebug, replacements by a folder. */
  readonly go: string;
  /**
   * By `packageKey` of an import path: digest of the modules, with their versions, that the package can reach on any
   * platform. Without those that lead to sources without a version.
   */
  readonly packages: Readonly<Record<string, string>>;
}

/** An import path as a key of `packages`: Nx takes a dot in a field's name for a step down. */
export function packageKey(importPath: string): string {
  return importPath.replaceAll('%', '%25').replaceAll('.', '%2E');
}

/** Where the go.deps.json of a build is or would be, from the repository's root. */
export function depsPath(context: ModuleContext): string {
  return inFolder(context.workDir ?? context.mains[0]!.dir, depsFile);
}

/** The first two fields of a go.deps.json that is true to the module files as they are. */
export function moduleState(
  context: ModuleContext,
  readText: (file: string) => string | undefined,
): Pick<Deps, 'moduleFiles' | 'go'> {
  const { work, modules } = context;
  const local = ({ newVersion }: { readonly newVersion?: string }) => newVersion === undefined;
  return {
    moduleFiles: digest(versionFiles(context).map((file) => [file, readText(file) ?? null])),
    go: digest([
      work && [
        work.go?.version,
        work.toolchain?.version,
        work.godebugs,
        work.uses,
        work.replaces.filter(local).map(pair),
      ],
      modules.map(({ dir, file }) => [
        dir,
        file.module,
        file.go?.version,
        file.toolchain?.version,
        file.godebugs,
        file.replaces.filter(local).map(pair),
      ]),
    ]),
  };
}

function pair({ oldPath, oldVersion, newPath }: { oldPath: string; oldVersion?: string; newPath: string }): unknown {
  return [oldPath, oldVersion, newPath];
}

/** A go.deps.json's content; undefined where the text is not one. */
export function parseDeps(text: string | undefined): Deps | undefined {
  try {
    const { moduleFiles, go, packages } = JSON.parse(text ?? '') as Partial<Deps>;
    const isDeps =
      typeof moduleFiles === 'string' && typeof go === 'string' && typeof packages === 'object' && packages;
    return isDeps ? { moduleFiles, go, packages } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What go.deps.json must say of a build's modules. Reads third-party sources, without Go.
 * @param moduleCache folder that `go env GOMODCACHE` names
 * @returns with the modules that are not there yet (`go mod download` fetches them): then `deps` is not the whole truth
 */
export function collectDeps(
  tree: GoTree,
  context: ModuleContext,
  readText: (file: string) => string | undefined,
  moduleCache: string,
): { readonly deps: Deps; readonly missing: readonly string[] } {
  const reader = new ModuleCacheReader(context, moduleCache);
  const imports = new Set<string>();
  for (const module of context.modules) {
    for (const dir of tree.packageDirs(module)) {
      for (const { header } of tree.package(dir)?.files ?? []) {
        for (const { path } of header?.imports ?? []) {
          if (tree.resolve(path, context).kind === 'external') imports.add(path);
        }
      }
    }
  }
  const packages: Record<string, string> = {};
  for (const path of [...imports].sort()) {
    const reached = reader.reach(path);
    if (reached) packages[packageKey(path)] = digest(reached);
  }
  return { deps: { ...moduleState(context, readText), packages }, missing: [...reader.missing].sort() };
}

/** Third-party packages as the module cache has them. https://go.dev/ref/mod#module-cache */
class ModuleCacheReader {
  /** Modules whose sources are not there: `path@version`. */
  readonly missing = new Set<string>();
  private readonly modules: ReadonlyMap<string, ExternalModule>;
  private readonly packages = new Map<string, CachedPackage | undefined>();
  /** Paths of modules whose sources have no version: those of the repository, and folders that replace others. */
  private readonly unversioned: ReadonlySet<string>;

  constructor(
    context: ModuleContext,
    private readonly moduleCache: string,
  ) {
    this.modules = externalModules(context);
    const folders = [...this.modules.values()].filter(({ version }) => !/^v\d|@/.test(version));
    this.unversioned = new Set([...context.locals.keys(), ...folders.map(({ path }) => path)]);
  }

  /**
   * `path@version` of every module that a package's imports lead to, itself included, sorted. Undefined where they lead to
   * sources without a version, or the package is of no module that is required.
   */
  reach(importPath: string): readonly string[] | undefined {
    const seen = new Set([importPath]);
    const reached = new Set<string>();
    const queue = [importPath];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (prefixes(path).some((prefix) => this.unversioned.has(prefix))) return undefined;
      const found = this.package(path);
      // No required module has it: then no build compiles the file that imports it (`//go:build ignore`).
      if (!found) continue;
      reached.add(found.module);
      for (const next of found.imports) {
        if (seen.has(next)) continue;
        seen.add(next);
        queue.push(next);
      }
    }
    return reached.size === 0 ? undefined : [...reached].sort();
  }

  private package(importPath: string): CachedPackage | undefined {
    if (!this.packages.has(importPath)) this.packages.set(importPath, this.read(importPath));
    return this.packages.get(importPath);
  }

  private read(importPath: string): CachedPackage | undefined {
    const holder = prefixes(importPath).find((path) => this.modules.has(path));
    const module = holder === undefined ? undefined : this.modules.get(holder);
    if (!module) return undefined;
    const { path, version } = module;
    // After a replacement by another module its path stands in front of the version.
    const source = version.includes('@') ? version : `${path}@${version}`;
    const folder = join(this.moduleCache, moduleCachePath(source));
    if (!existsSync(folder)) this.missing.add(source);
    const dir = join(folder, importPath.slice(path.length));
    if (!existsSync(dir)) return undefined;
    // On every platform and with every tag: more modules are reached that way, never less.
    const files = readdirSync(dir).filter((name) => /^[^._].*(?<!_test)\.go$/.test(name));
    return { module: `${path}@${version}`, imports: [...new Set(files.flatMap((name) => importsOf(join(dir, name))))] };
  }
}

function importsOf(file: string): readonly string[] {
  try {
    return scanGoFile(readFileSync(file), file).imports.map(({ path }) => path);
  } catch (error) {
    if (error instanceof SlimGoError) return []; // Not Go: no build compiles it.
    throw error;
  }
}

interface CachedPackage {
  readonly module: string;
  readonly imports: readonly string[];
}

/**
 * A module's folder in GOMODCACHE: `!` and the small letter for each capital. https://go.dev/ref/mod#module-cache
 * @param module `github.com/Acme/lib@v1.2.3`
 */
export function moduleCachePath(module: string): string {
  return module.replace(/[A-Z]/g, (letter) => `!${letter.toLowerCase()}`);
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);
}

/**
 * Compares what the graph is made of, read without the go command, with what the go command says of a real repository:
 * packages, programs, edges and closures of every module in it.
 *
 *     node e2e/oracle.mjs <folder of a Go repository> [--sample=20] [--platforms=linux/amd64,windows/arm64,darwin/arm64]
 *
 * Needs a compiled dist/, Go, and the repository's third-party modules or a way to download them. The go command works
 * in a copy, for it may write go.work.sum. Ends with 1 where anything differs.
 */
import { execFileSync, spawn } from 'node:child_process';
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { table } from '../bench/samples.mjs';

const require = createRequire(import.meta.url);
const { closureOf, edgesOf, packageName } = require('../dist/go/closure.js');
const { GoTree, inFolder } = require('../dist/go/packages.js');
const { findProjects } = require('../dist/plugin/projects.js');
const { parsePlatform } = require('../dist/platform.js');

/** Where `packageName` looks for a program: the go command is asked about all of them. */
const usualPlatforms = [
  'linux/amd64',
  'linux/arm64',
  'darwin/arm64',
  'windows/amd64',
  'freebsd/amd64',
  'js/wasm',
  'wasip1/wasm',
];

/**
 * What go/build and go/parser see in folders, whatever the platform. A line of input is a folder; a line of output is a
 * file with the names in its imports, or a folder that holds nothing the go command would look at.
 */
const scanner = `package main

import (
	"bufio"
	"encoding/json"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
)

type file struct {
	Dir, Name string
	Imports   []string
}

func main() {
	context := build.Default
	context.UseAllFiles = true
	output := json.NewEncoder(os.Stdout)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		dir := input.Text()
		found, err := context.ImportDir(dir, 0)
		if _, none := err.(*build.NoGoError); none {
			output.Encode(file{Dir: dir})
			continue
		}
		names := map[string]bool{}
		for _, list := range [][]string{found.GoFiles, found.CgoFiles, found.TestGoFiles, found.XTestGoFiles, found.InvalidGoFiles} {
			for _, name := range list {
				names[name] = true
			}
		}
		for name := range names {
			one := file{Dir: dir, Name: name}
			if parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly); err == nil {
				for _, spec := range parsed.Imports {
					path, _ := strconv.Unquote(spec.Path.Value)
					one.Imports = append(one.Imports, path)
				}
			}
			output.Encode(one)
		}
	}
}
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sample: { type: 'string', default: '20' },
    platforms: { type: 'string', default: 'linux/amd64,windows/arm64,darwin/arm64' },
  },
});
if (positionals.length !== 1) throw new Error('Give the folder of one Go repository.');
const repository = realpathSync(positionals[0]);
const sampleSize = Number(values.sample);
const platforms = values.platforms.split(',');

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-oracle-')));
try {
  const differences = await compareRepository();
  process.exitCode = differences === 0 ? 0 : 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

async function compareRepository() {
  const files = repositoryFiles();
  const root = workingCopy(files);
  const helper = join(scratch, 'scan');
  writeFileSync(join(scratch, 'scan.go'), scanner);
  goOutput(scratch, ['build', '-o', helper, 'scan.go'], { GOWORK: 'off' });

  const clock = { readMs: 0, edgesMs: 0, closuresMs: 0 };
  const [tree, projects] = timed(clock, 'readMs', () => {
    const made = new GoTree({ files, read: (file) => readFileSync(join(repository, file)) });
    return [made, findProjects(made, new Map(), new Map(), 'repository')];
  });
  // A go.mod in a testdata folder is none of the repository's: it has no project either.
  const modules = [...new Set(projects.map(({ module }) => module))];
  const total = { packages: 0, programs: 0, edges: 0, closures: 0, testClosures: 0, guesses: 0, wrongGuesses: 0 };
  const skipped = [];
  const notes = [];
  const differences = [];
  let done = 0;
  for (const module of modules) {
    const where = module.dir || '.';
    const differ = (text) => differences.push(`${where}: ${text}`);
    const note = (text) => notes.push(`${where}: ${text}`);
    try {
      await compareModule({ tree, projects, module, root, helper, clock, total, differ, note });
      done++;
    } catch (error) {
      if (error.stderr === undefined) throw error;
      skipped.push(`${where}: ${String(error.stderr).trim().split('\n')[0]}`);
    }
  }
  console.log(
    table(
      [
        'repository',
        'modules',
        'Go files',
        'packages',
        'programs',
        'edges',
        'closures',
        'with tests',
        'folders guessed',
        'in vain',
        'differences',
        'reading',
        'edges',
        'closures',
      ],
      [
        [
          repository.split(sep).at(-1),
          skipped.length === 0 ? done : `${done} of ${modules.length}`,
          files.filter((file) => file.endsWith('.go')).length,
          ...Object.values(total),
          differences.length,
          ...Object.values(clock).map((ms) => `${ms.toFixed(0)} ms`),
        ],
      ],
    ),
  );
  printSome('Not compared, for the go command itself refuses', skipped);
  printSome('Notes', notes);
  printSome('Differences', differences);
  return differences.length;
}

async function compareModule(job) {
  const { tree, projects, module, root, helper, clock, total, differ } = job;
  const packages = new Set(tree.packageDirs(module));
  total.packages += packages.size;
  // Where go.work does not use a module, the go command builds it only without.
  const environment = { GOWORK: tree.context(module).workDir === undefined ? 'off' : '' };
  const go = {
    cwd: join(root, module.dir),
    environment,
    dirOf: (path) => relative(root, path).split(sep).join('/'),
    isInside: (path) => path !== undefined && path !== '' && `${path}${sep}`.startsWith(root + sep),
  };

  // 1. Packages. ./... leaves out folders without a file for the platform. So that it names all of them, each folder in
  // which go/build sees any file at all gets one more that is for every platform, which is nowhere but in -overlay.
  const folders = goFolders(tree, module);
  const scanned = scan(
    helper,
    folders.map((dir) => join(root, dir)),
  );
  const overlay = join(scratch, 'overlay.json');
  const seen = new Set(scanned.filter(({ Name }) => Name !== '').map(({ Dir }) => Dir));
  const everywhere = join(scratch, 'everywhere.go');
  writeFileSync(everywhere, 'package everywhere\n');
  const replace = Object.fromEntries([...seen].map((dir) => [join(dir, 'slim_go_oracle.go'), everywhere]));
  writeFileSync(overlay, JSON.stringify({ Replace: replace }));
  const named = await goList(go, 'linux/amd64', '0', ['-find', `-overlay=${overlay}`, '-json=Dir', './...']);
  const expected = new Set(named.filter(({ Dir }) => go.isInside(Dir)).map(({ Dir }) => go.dirOf(Dir)));
  compareSets(expected, packages, (dir) => `package ${dir || '.'}`, differ);

  // 2. Programs: main on any of the usual platforms.
  const programs = new Set();
  for (const platform of usualPlatforms) {
    for (const cgo of ['0', '1']) {
      for (const { Dir, Name, GoFiles, CgoFiles } of await goList(go, platform, cgo, [
        '-find',
        '-json=Dir,Name,GoFiles,CgoFiles',
        './...',
      ])) {
        if (Name === 'main' && (GoFiles || CgoFiles)) programs.add(go.dirOf(Dir));
        if (go.isInside(Dir) && !packages.has(go.dirOf(Dir))) differ(`package ${go.dirOf(Dir)} on ${platform}`);
      }
    }
  }
  const ownPrograms = timed(
    clock,
    'readMs',
    () => new Set([...packages].filter((dir) => packageName(tree, dir) === 'main')),
  );
  total.programs += ownPrograms.size;
  compareSets(programs, ownPrograms, (dir) => `program ${dir || '.'}`, differ);
  const projectMains = projects.filter((project) => project.module === module).flatMap(({ main }) => main ?? []);
  compareSets(ownPrograms, new Set(projectMains), (dir) => `project of program ${dir || '.'}`, differ);

  await compareEdges({ ...job, go, packages, scanned });
  for (const platform of platforms) await compareClosures({ ...job, go, packages, platform });
}

/** 3. Edges: imports as go/parser reads them, from every file, followed by the go command. */
async function compareEdges({ tree, module, clock, total, differ, go, packages, scanned }) {
  const files = scanned.filter(({ Dir, Name }) => Name !== '' && packages.has(go.dirOf(Dir)));
  const paths = [...new Set(files.flatMap(({ Imports }) => Imports ?? []))].filter(
    (path) => path !== 'C' && !path.startsWith('.') && !path.startsWith('/') && !path.includes('...'),
  );
  const resolved = new Map();
  for (let start = 0; start < paths.length; start += 1000) {
    const some = paths.slice(start, start + 1000);
    for (const { ImportPath, Dir } of await goList(go, 'linux/amd64', '1', [
      '-find',
      '-json=ImportPath,Dir',
      '--',
      ...some,
    ])) {
      if (go.isInside(Dir)) resolved.set(ImportPath, go.dirOf(Dir));
    }
  }
  const expected = new Set();
  for (const { Dir, Name, Imports } of files) {
    for (const path of Imports ?? []) {
      const target = resolved.get(path) ?? resolved.get(`${module.path}/vendor/${path}`);
      if (target !== undefined) expected.add(`${inFolder(go.dirOf(Dir), Name)} -> ${target || '.'}`);
    }
  }
  const own = timed(clock, 'edgesMs', () =>
    [...packages].flatMap((dir) => {
      const found = tree.package(dir);
      return found ? edgesOf(tree, found, module) : [];
    }),
  );
  const edges = new Set(own.map(({ sourceFile, targetDir }) => `${sourceFile} -> ${targetDir || '.'}`));
  total.edges += edges.size;
  compareSets(expected, edges, (edge) => `edge ${edge}`, differ);
}

/** 4. Closures of programs, and of packages with their tests, with what they embed: `go list -deps -test`. */
async function compareClosures({ tree, module, clock, total, differ, note, go, packages, platform }) {
  const listed = new Map();
  const fields =
    'ImportPath,Dir,Name,ForTest,Imports,EmbedPatterns,TestEmbedPatterns,XTestEmbedPatterns,GoFiles,TestGoFiles,XTestGoFiles,Error,DepsErrors';
  for (const item of await goList(go, platform, '0', ['-deps', '-test', `-json=${fields}`, './...'])) {
    listed.set(item.ImportPath, item);
  }
  const own = [...listed.values()].filter(
    ({ ImportPath, Dir, ForTest }) =>
      !ForTest && !ImportPath.endsWith('.test') && go.isInside(Dir) && packages.has(go.dirOf(Dir)),
  );
  const unresolved = new Set(
    [...listed.values()].flatMap(({ Dir, ImportPath }) => (Dir === undefined ? [ImportPath] : [])),
  );
  if (unresolved.size > 0)
    note(
      `${platform}: the go command finds no source of ${unresolved.size} packages, as of ${[...unresolved].slice(0, 3).join(', ')}`,
    );
  const compare = (item, tests) => {
    const dir = go.dirOf(item.Dir);
    const starts = tests ? [item.ImportPath, `${item.ImportPath}.test`] : [item.ImportPath];
    const reached = reach(listed, starts);
    const dirs = new Set();
    const embeds = new Set();
    for (const { Dir, EmbedPatterns } of reached) {
      if (!go.isInside(Dir)) continue;
      dirs.add(go.dirOf(Dir));
      for (const pattern of EmbedPatterns ?? []) embeds.add(`${go.dirOf(Dir)}: ${pattern}`);
    }
    const testPatterns = tests ? [...(item.TestEmbedPatterns ?? []), ...(item.XTestEmbedPatterns ?? [])] : [];
    for (const pattern of testPatterns) embeds.add(`${dir}: ${pattern}`);
    const request = { dirs: [dir], module, platforms: [parsePlatform(platform)], cgo: false, tags: [], tests };
    const closure = timed(clock, 'closuresMs', () => closureOf(tree, request));
    const title = `closure of ${dir || '.'}${tests ? ' with tests' : ''} for ${platform}`;
    // What third-party code imports can't be seen without it: there the closure holds more than is needed, never less.
    const guessed = new Set(closure.guessedDirs);
    const isCertain = (found) => dirs.has(found) || !guessed.has(found);
    total.guesses += guessed.size;
    total.wrongGuesses += closure.dirs.filter((found) => !isCertain(found)).length;
    // A folder that is imported and has no package may get one any time.
    const ownDirs = closure.dirs.filter((found) => isCertain(found) && tree.package(found)?.files.length > 0);
    compareSets(dirs, new Set(ownDirs), (found) => `${title}: ${found || '.'}`, differ);
    const ownEmbeds = closure.embeds.filter((embed) => isCertain(embed.dir));
    const lines = new Set(ownEmbeds.map((embed) => `${embed.dir}: ${embed.pattern}`));
    compareSets(embeds, lines, (found) => `${title}: embed ${found}`, differ);
  };
  const programs = sampled(own.filter(({ Name, GoFiles }) => Name === 'main' && GoFiles));
  const tested = sampled(own.filter(({ TestGoFiles, XTestGoFiles }) => TestGoFiles || XTestGoFiles));
  for (const item of programs) compare(item, false);
  for (const item of tested) compare(item, true);
  total.closures += programs.length;
  total.testClosures += tested.length;
}

/** All packages that some are made of, those included. */
function reach(listed, starts) {
  const seen = new Set(starts.filter((path) => listed.has(path)));
  for (const path of seen) for (const next of listed.get(path)?.Imports ?? []) if (listed.has(next)) seen.add(next);
  return [...seen].map((path) => listed.get(path));
}

/** Evenly spread ones, the first always among them. */
function sampled(items) {
  if (items.length <= sampleSize) return items;
  return Array.from({ length: sampleSize }, (_, index) => items[Math.floor((index * items.length) / sampleSize)]);
}

/** Folders of a module that hold a *.go, whatever they are called. */
function goFolders(tree, module) {
  const dirs = new Set(
    repositoryFiles()
      .filter((file) => file.endsWith('.go'))
      .map((file) => file.slice(0, Math.max(file.lastIndexOf('/'), 0))),
  );
  return [...dirs].filter((dir) => tree.moduleOf(dir) === module);
}

function compareSets(expected, own, title, differ) {
  for (const item of expected) if (!own.has(item)) differ(`${title(item)} is missed`);
  for (const item of own) if (!expected.has(item)) differ(`${title(item)} is only ours`);
}

/** Files that git does not ignore; without git all. Sorted out are those that are gone, and links to folders. */
function repositoryFiles() {
  repositoryFiles.known ??= listFiles().filter((file) =>
    statSync(join(repository, file), { throwIfNoEntry: false })?.isFile(),
  );
  return repositoryFiles.known;
}

function listFiles() {
  if (existsSync(join(repository, '.git'))) {
    const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    return execFileSync('git', args, { cwd: repository, maxBuffer: 1 << 30 })
      .toString()
      .split('\0')
      .filter((file) => file !== '');
  }
  const walk = (dir) =>
    readdirSync(join(repository, dir), { withFileTypes: true }).flatMap((entry) => {
      if (['.git', 'node_modules'].includes(entry.name)) return [];
      const path = inFolder(dir, entry.name);
      return entry.isDirectory() ? walk(path) : [path];
    });
  return walk('');
}

/** Where the go command may work. The Go distribution itself has no copy: there the command knows its own packages. */
function workingCopy(files) {
  const goroot = realpathSync(goOutput(scratch, ['env', 'GOROOT']).trim());
  if (`${repository}${sep}`.startsWith(goroot + sep)) return repository;
  const root = join(scratch, 'repository');
  for (const file of files) {
    const [from, to] = [join(repository, file), join(root, file)];
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
  }
  return root;
}

function timed(clock, name, work) {
  const start = performance.now();
  const result = work();
  clock[name] += performance.now() - start;
  return result;
}

function goEnvironment(changes) {
  return { ...process.env, GOFLAGS: '', ...changes };
}

function goOutput(cwd, args, changes = {}) {
  return execFileSync('go', args, { cwd, env: goEnvironment(changes), stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

/** `go list -e` as it comes: of a large repository it is more than a string can hold. */
async function goList({ cwd, environment }, platform, cgo, args) {
  const { os, architecture } = parsePlatform(platform);
  const env = goEnvironment({ ...environment, GOOS: os, GOARCH: architecture, CGO_ENABLED: cgo });
  const child = spawn('go', ['list', '-e', ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const complaints = [];
  child.stderr.on('data', (data) => complaints.push(data));
  const ended = new Promise((settle) => {
    child.on('close', settle);
  });
  const items = [];
  let lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line !== '}') continue;
    items.push(JSON.parse(lines.join('\n')));
    lines = [];
  }
  const code = await ended;
  if (code !== 0) {
    const stderr = Buffer.concat(complaints).toString();
    throw Object.assign(new Error(`go list ended with ${code}: ${stderr}`), { stderr });
  }
  return items;
}

function scan(helper, dirs) {
  const output = execFileSync(helper, { input: dirs.map((dir) => `${dir}\n`).join(''), maxBuffer: 1 << 30 });
  return output
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function printSome(title, lines) {
  if (lines.length === 0) return;
  console.log(`\n${title} (${lines.length}):`);
  for (const line of lines.slice(0, 20)) console.log(`  ${line}`);
}

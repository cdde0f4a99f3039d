/** Generated Go workspaces of any size, in both layouts: what the graph's cost is measured on. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Writes a workspace of `projects` programs and libraries with five Go files each. Every project imports three earlier
 * libraries, every third is a program with a Dockerfile, every tenth embeds a file.
 * @param layout `module`: one go.mod, libraries are projects by their project.json. `workspace`: go.work, a go.mod each
 * @returns {{name: string, root: string, main: string}[]} the projects
 */
export function writeGoWorkspace(root, { projects, layout }) {
  const write = (file, text) => {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text);
  };
  const isProgram = (index) => index % 3 === 2;
  const folder = (index) => `${isProgram(index) ? 'apps' : 'libs'}/g${Math.floor(index / 100)}/p${index}`;
  const path = (index) => `example.com/acme/${folder(index)}`;
  const made = [];
  for (let index = 0; index < projects; index++) {
    const dir = folder(index);
    const imports = [1, 7, 31].map((back) => index - back * 2).filter((other) => other >= 0 && !isProgram(other));
    const lines = imports.map((other) => `\t"${path(other)}"`).join('\n');
    const uses = imports.map((other) => `\tp${other}.Use()`).join('\n');
    const embed = index % 10 === 0;
    const header = `// Package p${index} is generated.\npackage ${isProgram(index) ? 'main' : `p${index}`}\n\n`;
    write(
      `${dir}/main.go`,
      `${header}import (\n${embed ? '\t_ "embed"\n' : ''}\t"fmt"\n\n${lines}\n)\n\n${embed ? '//go:embed data.txt\nvar data string\n\n' : ''}` +
        `func ${isProgram(index) ? 'main' : 'Use'}() {\n\tfmt.Println("p${index}")\n${uses}\n}\n`,
    );
    if (embed) write(`${dir}/data.txt`, 'data\n');
    for (const name of ['a', 'b_linux', 'c_windows']) {
      const body = Array.from({ length: 30 }, (_, line) => `\tfmt.Println(${line})\n`).join('');
      write(`${dir}/${name}.go`, `${header}import "fmt"\n\nfunc ${name}() {\n${body}}\n`);
    }
    write(`${dir}/main_test.go`, `${header}import "testing"\n\nfunc TestIt(t *testing.T) {}\n`);
    if (isProgram(index)) {
      write(`${dir}/Dockerfile`, `FROM scratch\nARG TARGETPLATFORM\nCOPY dist/\${TARGETPLATFORM}/p${index} /p\n`);
    } else if (layout === 'module') write(`${dir}/project.json`, JSON.stringify({ name: `p${index}` }));
    if (layout === 'workspace') write(`${dir}/go.mod`, `module ${path(index)}\n\ngo 1.24\n`);
    made.push({ name: `p${index}`, root: dir, main: `${dir}/main.go` });
  }
  if (layout === 'module') write('go.mod', 'module example.com/acme\n\ngo 1.24\n');
  else write('go.work', `go 1.24\n\nuse (\n${made.map(({ root: dir }) => `\t./${dir}\n`).join('')})\n`);
  return made;
}

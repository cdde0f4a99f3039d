import type { Outcome } from './embedded-compare.testdata';

/**
 * What BuildKit 0.25.0 made of `modernCorpus` (linux/amd64; `buildctl build --output type=tar` and the config of
 * `--output type=oci`), by the case's name.
 */
export const modernOutcomes: Readonly<Record<string, Outcome>> = {
  heredocs: {
    files: {
      'a.conf': 'file 644 0:0 18 673d022ca998',
      added: 'file 644 0:0 2 73cb3858a687',
      etc: 'directory 755 0:0 ',
      'etc/x': 'directory 755 0:0 ',
      'etc/x/EOF': 'file 644 0:0 5 a9d11cfeddcd',
      'etc/x/two': 'file 644 0:0 7 480c2336b410',
      mixed: 'directory 755 1:2 ',
      'mixed/EOF': 'file 755 1:2 0 e3b0c44298fc',
      'mixed/a.txt': 'file 755 1:2 1 ca978112ca1b',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
    },
    author: '',
  },
  'removing patterns': {
    files: {
      'a.txt': 'file 644 0:0 1 ca978112ca1b',
    },
    config: {
      Env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'V=foo.bar.baz',
        'a=bar.baz',
        'b=baz',
        'c=foo.bar',
        'd=foo',
        'e=foo-bar.baz',
        'f=foo-bar-baz',
        'g=foo.bar.baz',
        'h=.bar.baz',
        'i=foo.bar.baz',
      ],
      WorkingDir: '/',
    },
    author: '',
  },
  'error modifiers that hold': {
    files: {
      'a.txt': 'file 644 0:0 1 ca978112ca1b',
    },
    config: {
      Env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'V=x',
        'a=x',
        'b=x',
        'c=d',
        'd=x',
        'e=s',
        'f=',
      ],
      WorkingDir: '/',
    },
    author: '',
  },
  '--link': {
    files: {
      data: 'directory 755 3:4 ',
      'data/link-dangling': 'symlink 777 3:4 /nowhere',
      'data/link-up': 'symlink 777 3:4 ../a.txt',
      'data/one.txt': 'file 640 3:4 3 7692c3ad3540',
      'data/sub': 'directory 755 3:4 ',
      'data/sub/deep': 'directory 700 3:4 ',
      'data/sub/deep/four.txt': 'file 644 3:4 4 04efaf080f5a',
      'data/sub/three.txt': 'file 444 3:4 5 8b5b9db0c13d',
      'data/two.md': 'file 644 3:4 3 3fc4ccfe7458',
      'new': 'directory 755 0:0 ',
      'new/folder': 'directory 755 0:0 ',
      'new/folder/a.txt': 'file 644 0:0 1 ca978112ca1b',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
    },
    author: '',
  },
  '--exclude': {
    files: {
      a: 'directory 755 0:0 ',
      'a/link-dangling': 'symlink 777 0:0 /nowhere',
      'a/link-up': 'symlink 777 0:0 ../a.txt',
      'a/one.txt': 'file 640 0:0 3 7692c3ad3540',
      'a/sub': 'directory 755 0:0 ',
      'a/sub/three.txt': 'file 444 0:0 5 8b5b9db0c13d',
      b: 'directory 755 0:0 ',
      'b/link-dangling': 'symlink 777 0:0 /nowhere',
      'b/link-up': 'symlink 777 0:0 ../a.txt',
      'b/one.txt': 'file 640 0:0 3 7692c3ad3540',
      'b/two.md': 'file 644 0:0 3 3fc4ccfe7458',
      c: 'directory 755 0:0 ',
      'c/one.txt': 'file 640 0:0 3 7692c3ad3540',
      'c/sub': 'directory 755 0:0 ',
      'c/sub/deep': 'directory 700 0:0 ',
      'c/sub/deep/four.txt': 'file 644 0:0 4 04efaf080f5a',
      'c/sub/three.txt': 'file 444 0:0 5 8b5b9db0c13d',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
    },
    author: '',
  },
  directives: {
    files: {
      'a.txt': 'file 644 0:0 1 ca978112ca1b',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
    },
    author: '',
  },
  'ADD --unpack=false': {
    files: {
      t: 'directory 755 0:0 ',
      't.tar': 'file 644 0:0 10240 ffbb300ef6ed',
      't/p': 'directory 755 7:8 ',
      't/p/link': 'symlink 777 7:8 q/file',
      't/p/q': 'directory 711 7:8 ',
      't/p/q/file': 'file 751 7:8 6 88cb8a087b6e',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
    },
    author: '',
  },
  'HEALTHCHECK --start-interval': {
    files: {
      'a.txt': 'file 644 0:0 1 ca978112ca1b',
    },
    config: {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      WorkingDir: '/',
      Healthcheck: {
        Test: ['CMD', 'x'],
        StartInterval: 2000000000,
      },
    },
    author: '',
  },
};

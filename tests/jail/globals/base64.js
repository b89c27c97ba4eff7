return [btoa('Hardpoint'), atob('SGFyZHBvaW50'), btoa(String.fromCharCode(255))];
